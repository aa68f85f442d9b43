"""Folders, shards, the held-out part, and the order in which training takes the images."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.checks import refusal
from support.small_data import CLASSES, RECIPE, SIDE, Stripes, add, write_folder, write_shards

from resnas_deploy.data.labelled import ImageSubset, split
from resnas_deploy.data.source import open_data
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.training.augment import augmented, random_box
from resnas_deploy.training.batches import epoch_order, evaluation_batches, steps_per_epoch, training_batches
from resnas_deploy.training.distributed import Share


def test_folders(tmp_path):
    data = open_data(str(write_folder(tmp_path / "data")))
    assert data.train.class_names == ("blue", "green", "red")
    assert np.bincount(data.train.labels).tolist() == [8] * 3
    assert data.val.image(0).size == (SIDE, SIDE)


def test_shards(tmp_path):
    data = open_data(str(write_shards(tmp_path / "data")))
    assert data.train.class_names == Stripes().class_names
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2] * 3
    assert [run.tolist() for run in data.train.runs] == [list(range(6)), list(range(6, 12)), list(range(12, 18))]
    for index, label in enumerate(data.train.labels):
        assert np.asarray(data.train.image(index))[0, :, label].mean() > 120  # its own stripes


def test_shards_of_the_webdataset_library(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    root = write_shards(tmp_path / "data")
    with webdataset.TarWriter(str(root / "train" / "0003.tar")) as writer:
        for number in range(3):
            writer.write({"__key__": f"x{number}", "png": Image.new("RGB", (8, 8)), "cls": number})
    assert len(open_data(str(root)).train.labels) == 21


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


def image():
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.png": image()}, "every sample must have an image and a .cls, found 'a' with one"),
        ({"a.cls": b"1"}, "every sample must have an image and a .cls, found 'a' with one"),
        ({"a.png": image(), "a.cls": b"x"}, "a.cls must be a class number from 0, found b'x'"),
        ({"a.png": image(), "a.cls": b"-1"}, "must be a class number"),
        ({"a.png": image(), "a.cls": b"1" * 50}, "must be a class number"),
        ({"a.png": image(), "a.cls": b"7"}, "must name every class, found 3 names and the class 7"),
    ],
)
def test_wrong_shards_are_named(tmp_path, files, expected):
    root = write_shards(tmp_path / "data")
    with tarfile.open(root / "train" / "0000.tar", "w") as archive:
        for name, content in files.items():
            add(archive, name, content)
    assert expected in refusal(lambda: open_data(str(root)))


@pytest.mark.parametrize("length", [0, 100, 700, 1500, 5000])
def test_a_shard_that_was_cut_short_is_refused_or_read(tmp_path, length):
    root = write_shards(tmp_path / "data", shards=1)
    shard = root / "train" / "0000.tar"
    shard.write_bytes(shard.read_bytes()[:length])
    try:
        data = open_data(str(root))
    except Exception as error:  # noqa: BLE001  any other class fails the test
        assert type(error).__name__ == "BadInput"
        return
    for index in range(len(data.train.labels)):
        data.train.image(index)


def test_a_damaged_image_in_a_shard_is_named(tmp_path):
    root = write_shards(tmp_path / "data")
    with tarfile.open(root / "train" / "0000.tar", "w") as archive:
        add(archive, "a.png", b"not an image")
        add(archive, "a.cls", b"0")
    data = open_data(str(root))
    assert "0000.tar, a' must be an image" in refusal(lambda: data.train.image(0))


@given(st.integers(1, 7))
def test_the_held_out_part_is_so_many_of_each_class_and_no_other(held_out):
    images = Stripes(24)
    train, held = split(images, held_out)
    assert np.bincount(held.labels).tolist() == [held_out] * CLASSES
    assert sorted([*train.indices, *held.indices]) == list(range(24))
    fewer = split(images, held_out - 1)[1]
    assert set(fewer.indices) <= set(held.indices)  # a search may use fewer than training held out


def test_more_held_out_than_there_are_is_refused():
    assert "the class 'red' must have more than the 8 images" in refusal(lambda: split(Stripes(24), 8))


@given(st.integers(1, 4), st.integers(0, 20))
def test_processes_share_out_one_order(processes, seed):
    runs, steps, batch = [np.arange(53)], 4, 12
    shares = [
        epoch_order(runs, steps, batch, Share(rank, processes), np.random.default_rng(seed))
        for rank in range(processes)
        if batch % processes == 0
    ]
    if not shares:
        return
    whole = epoch_order(runs, steps, batch, Share(), np.random.default_rng(seed))
    assert np.array_equal(np.concatenate(shares, axis=1), whole)
    assert len(set(whole.ravel().tolist())) == steps * batch


def test_each_process_reads_its_own_shards():
    runs = [np.arange(start, start + 10) for start in range(0, 60, 10)]
    found = [epoch_order(runs, 7, 8, Share(rank, 2), np.random.default_rng(0)) for rank in range(2)]
    shards = [{index // 10 for index in order.ravel().tolist()} for order in found]
    assert not shards[0] & shards[1]
    assert len(shards[0] | shards[1]) == 6
    assert found[0].shape == (7, 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_seed_wherever_a_run_goes_on(workers):
    def batches(first_step, seed=0):
        recipe = replace(RECIPE, epochs=2)
        return list(training_batches(Stripes(), recipe, SIDE, seed, first_step=first_step, workers=workers))

    whole, rest = batches(0), batches(4)
    assert len(whole) == 6
    assert len(rest) == 2
    assert all((a.pixels == b.pixels).all() for a, b in zip(whole[4:], rest, strict=True))
    assert any((a.pixels != b.pixels).any() for a, b in zip(whole, batches(0, seed=1), strict=True))
    assert (whole[0].pixels != whole[3].pixels).any()  # another epoch


def test_evaluation_sees_every_image_once():
    parts = [
        list(evaluation_batches(Stripes(23), Preprocessing(SIDE, SIDE), 4, share=Share(rank, 2))) for rank in range(2)
    ]
    assert sum(len(batch.labels) for part in parts for batch in part) == 23


def test_too_few_images_for_a_batch_are_refused():
    assert "must have at least one batch of 8 images, found 7" in refusal(
        lambda: steps_per_epoch(ImageSubset(Stripes(), np.arange(7)), RECIPE)
    )


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.01, 1), st.integers(0, 99))
def test_random_boxes_lie_inside(width, height, least, seed):
    left, top, right, bottom = random_box((width, height), least, np.random.default_rng(seed))
    assert 0 <= left < right <= width + 1e-6
    assert 0 <= top < bottom <= height + 1e-6


def test_augmentation_is_that_of_its_generator():
    pytest.importorskip("kornia")
    recipe = replace(RECIPE, randaugment=9)
    views = [augmented(Stripes().image(0), recipe, SIDE, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])
    assert views[0].dtype == np.uint8
