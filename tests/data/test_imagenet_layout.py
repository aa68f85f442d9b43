"""ImageNet's layouts: as training reads it, and as it comes, which one line says what to do about."""

from __future__ import annotations

import logging
import tarfile

import numpy as np
import pytest
from support.checks import refusal
from support.imagenet_like import wordnet_ids, write_imagenet

from resnas_deploy.data.class_match import Classes, check_classes
from resnas_deploy.data.name_forms import readable
from resnas_deploy.data.source import open_data
from resnas_deploy.images.class_names import imagenet_class_names


def test_every_oddity_is_an_image_and_what_systems_leave_is_none(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        data = open_data(str(write_imagenet(tmp_path / "imagenet", classes=250)))
    assert "3 left by a system or a program (.DS_Store, ..)" in caplog.text
    assert data.train.labels.tolist() == np.repeat(np.arange(250), 2).tolist()
    assert data.val.class_names == wordnet_ids()[:250]
    images = [data.train.image(number) for number in range(len(data.train.labels))]
    assert {image.mode for image in images} == {"RGB"}
    assert images[6].size == (90, 120)  # written as 120 x 90, to be turned


def test_its_folders_have_its_names():
    assert readable(wordnet_ids()) == imagenet_class_names()
    assert readable(wordnet_ids()[:999]) == wordnet_ids()[:999]
    check_classes(Classes(1000, (imagenet_class_names(),)), wordnet_ids(), "the network")


@pytest.fixture
def imagenet(tmp_path):
    return write_imagenet(tmp_path / "imagenet", train=1, classes=2)


def test_the_validation_images_in_one_folder(imagenet):
    for folder in list((imagenet / "val").iterdir()):
        for path in folder.iterdir():
            path.rename(imagenet / "val" / path.name)
        folder.rmdir()
    message = refusal(lambda: open_data(str(imagenet)))
    assert "val must hold a folder for each class, found 2 images outside of one (ILSVRC2012_val_0000000" in message
    assert "move each into the folder of its class, such as n01440764: LOC_val_solution.csv" in message


def test_the_archives_of_classes(imagenet):
    for name in wordnet_ids()[:2]:
        with tarfile.open(imagenet / "train" / f"{name}.tar", "w") as archive:
            for path in sorted((imagenet / "train" / name).glob("n*.JPEG")):
                archive.add(path, path.name)
                path.unlink()
    message = refusal(lambda: open_data(str(imagenet)))
    assert "n01440764.tar must have a .cls beside each image, found none, so it is no shard" in message
    assert message.endswith(f"unpack it into the folder {imagenet / 'train' / 'n01440764'}")
