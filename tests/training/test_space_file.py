"""A supernet that is trained by a space in a file: it keeps the space, and goes on with no other one of that name."""

from __future__ import annotations

import numpy as np
import pytest
from support.checks import refusal
from support.small_data import SPACE, write_folder

import resnas_deploy as resnas
from resnas_deploy.weights.space_text import space_text

QUICK = {"epochs": 1, "batch": 6, "group": 3, "warm_up_epochs": 0, "held_out": 2, "masked": False}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a space's file, of images, and of the run."""
    folder = tmp_path_factory.mktemp("space")
    write_folder(folder / "images", train=4, val=1)
    (folder / "mine.toml").write_text(space_text(SPACE).replace('"little"', '"mine"').replace("classes = 3", ""))
    resnas.train.supernet(folder / "run", folder / "images", space=folder / "mine.toml", settings=QUICK)
    return folder


def test_the_checkpoint_has_the_space_for_the_datas_classes(trained):
    found = resnas.inspect(trained / "run" / "checkpoint.safetensors")
    assert (found.space.name, found.space.classes) == ("mine", 3)
    assert found.space.fingerprint == SPACE.fingerprint
    assert found.arch == SPACE.widest().arch
    assert found.to_json()["space"]["stages"][0]["hidden"] == [16, 8]


def test_it_is_searched_without_naming_the_space(trained, tmp_path, small_reference):
    found = resnas.search(
        trained / "run" / "checkpoint.safetensors",
        data=trained / "images",
        max_macs="70%",
        out=tmp_path / "found",
        iterations=1,
        first=3,
        finalists=1,
        threads=1,
    )
    assert found.space == "mine"
    assert all(SPACE.contains(item.subnet) for item in found.evaluated.candidates)


def test_it_goes_on_with_the_same_choices_alone(trained, tmp_path):
    text = (trained / "mine.toml").read_text()
    arguments = {"data": trained / "images", "settings": QUICK, "resume": True}
    before = resnas.inspect(trained / "run" / "checkpoint.safetensors").checkpoint.digest
    for changed in ("hidden = [16, 12]", "hidden = [16, 8, 4]"):
        (tmp_path / "mine.toml").write_text(text.replace("hidden = [16, 8]", changed))
        message = refusal(lambda: resnas.train.supernet(trained / "run", space=tmp_path / "mine.toml", **arguments))
        assert "must be of the same run, found another network, space, recipe, data or seed" in message
    (tmp_path / "renamed.toml").write_text(text.replace('name = "mine"', ""))
    again = resnas.train.supernet(trained / "run", space=tmp_path / "renamed.toml", **arguments)
    assert again.checkpoint.digest == before
    assert np.isfinite(again.accuracy.top1)
