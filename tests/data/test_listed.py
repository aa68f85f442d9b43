"""Images in one folder with a list of their classes, ImageNet's own included, and what else a user may name."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from support.checks import refusal
from support.small_data import Stripes, pixels, write_folder, write_shards

from resnas_deploy.data.labelled import drawn
from resnas_deploy.data.source import open_labelled


@pytest.fixture
def flat(tmp_path):
    """Three images; a test writes their list."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for label, name in enumerate(("c.png", "a.png", "b.PNG")):
        Image.fromarray(pixels(label, label)).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("text", "names", "labels"),
    [
        ("c.png,red\na.png,green\nb.PNG,blue\n", ("blue", "green", "red"), [1, 0, 2]),
        ("name,class\nb,x\r\na,y\n\nc,x\n", ("x", "y"), [1, 0, 0]),  # no suffixes; a head; Windows
        ('\ufeffa.png, 7 \nb.PNG,"7"\nc.png,"T-shirt, top"\n', ("7", "T-shirt, top"), [0, 0, 1]),
        ("a.png,n01440764 1 2\nb,n01440764 1 2\nc,z\n", ("n01440764 1 2", "z"), [0, 0, 1]),
        (
            "ImageId,PredictionString\n"
            "a,n01443537 1 2 3 4 n01443537 5 6 7 8 \nb,n01440764 9 9 9 9\nc,n01440764 0 0 1 1",
            ("n01440764", "n01443537"),
            [1, 0, 0],
        ),
    ],
)
def test_lists(flat, text, names, labels):
    (flat / "labels.csv").write_bytes(text.encode())
    found = open_labelled(flat)
    assert found.class_names == names
    assert found.labels.tolist() == labels  # of a, b and c
    assert np.array_equal(found.image(0), pixels(1, 1))


def test_images_that_the_list_lacks_are_counted(flat, caplog):
    (flat / "labels.csv").write_text("a.png,x\n")
    assert len(open_labelled(flat).labels) == 1
    assert "2 not in the list" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "labels.csv must have lines NAME,CLASS, found none"),
        ("name,class\n", "must have lines NAME,CLASS, found none"),
        ("a.png,x\nd.png,y\n", "line 2 must name an image of "),
        ("a.png,x\n../flat/a.png,y\n", "found '../flat/a.png'; put the images beside the list"),
        ("a.png\n", "line 1 must be NAME,CLASS, found 'a.png'"),
        ("a.png,\n", "line 1 must be NAME,CLASS, found 'a.png,'"),
        ("a.png,x\na,y\n", "line 2 must not name 'a.png' again with another class, found 'y'"),
        ('a.png,"x\n', "must be NAME,CLASS, found: unexpected end of data"),
        ("ImageId,PredictionString\na,n01 1 2\n", "line 2 must be one class with its boxes, found 'n01 1 2'"),
        ("ImageId,PredictionString\na,n01 1 2 3 4 n02 1 2 3 4\n", "must be one class with its boxes"),
    ],
)
def test_lists_that_cannot_be_are_one_line(flat, text, said):
    (flat / "labels.csv").write_text(text)
    assert said in refusal(lambda: open_labelled(flat))


def test_other_layouts(tmp_path):
    folders, shards = write_folder(tmp_path / "folders"), write_shards(tmp_path / "shards")
    assert open_labelled(folders / "val").class_names == ("blue", "green", "red")
    assert set(open_labelled(shards / "val").labels.tolist()) == {0, 1, 2}
    assert open_labelled(shards / "val").class_names == Stripes().class_names


def test_what_is_no_folder_of_labelled_images(flat, tmp_path):
    assert "must be a folder of labelled images, found" in refusal(lambda: open_labelled(tmp_path / "none"))
    assert "must say which class its images are of, found no list; add one" in refusal(lambda: open_labelled(flat))
    whole = write_folder(tmp_path / "whole")
    assert refusal(lambda: open_labelled(whole)).endswith(f"such as {whole / 'val'}, or give the whole as `data`")
    (flat / "labels.csv").write_text("a.png,x\n")
    shutil.copytree(whole / "val" / "red", flat / "red")
    assert "must hold images with a list, or class folders, found both (labels.csv and red/)" in refusal(
        lambda: open_labelled(flat)
    )
    (flat / "more.csv").write_text("a.png,x\n")
    assert "must have one list of its images' classes, found labels.csv and more.csv" in refusal(
        lambda: open_labelled(flat)
    )


def test_so_many_of_each_class_by_the_seed():
    images = Stripes(30)
    one, again, other = (drawn(images, 4, seed) for seed in (0, 0, 1))
    assert np.bincount(one.labels).tolist() == [4, 4, 4]
    assert np.array_equal(one.indices, again.indices)
    assert not np.array_equal(one.indices, other.indices)
    assert "the class 'red' must have the 11 images of `held_out`, found 10; set it lower" in refusal(
        lambda: drawn(images, 11, 0)
    )
