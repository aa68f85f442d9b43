"""Data by what a user names: folders with both splits, or one line that says what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from support.checks import refusal
from support.small_data import SIDE, write_folder

from resnas_deploy.data.source import open_data


def test_folders(tmp_path):
    data = open_data(str(write_folder(tmp_path / "data")))
    assert data.train.class_names == ("blue", "green", "red")
    assert np.bincount(data.train.labels).tolist() == [8] * 3
    assert data.val.image(0).size == (SIDE, SIDE)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda root: (root / "train" / "none").mkdir(), "none must hold at least one image"),
        (lambda root: (root / "val" / "red").rename(root / "val" / "rot"), "both splits must have the same classes"),
        (lambda root: (root / "val").rename(root / "test"), "must be demo or a folder with train/ and val/, found no"),
    ],
)
def test_wrong_folders_are_named(tmp_path, change, expected):
    root = write_folder(tmp_path / "data")
    change(root)
    assert expected in refusal(lambda: open_data(str(root)))
