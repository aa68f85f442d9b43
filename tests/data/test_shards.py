"""Shards: what is in them is found by their headers, which are not taken at their word."""

from __future__ import annotations

import io
import os
import tarfile
import time

import numpy as np
import pytest
from PIL import Image
from support.checks import refusal
from support.small_data import Stripes, add, write_shards

from resnas_deploy.data.shards import MOST_HEADER, MOST_IMAGE, shard_images
from resnas_deploy.data.source import open_data


def test_shards(tmp_path):
    data = open_data(str(write_shards(tmp_path / "data")))
    assert data.train.class_names == Stripes().class_names
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2] * 3
    assert [run.tolist() for run in data.train.chunks] == [list(range(6)), list(range(6, 12)), list(range(12, 18))]
    for index, label in enumerate(data.train.labels):
        assert np.asarray(data.train.image(index))[0, :, label].mean() > 120  # its own stripes


def test_shards_of_the_webdataset_library(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    root = write_shards(tmp_path / "data")
    with webdataset.TarWriter(str(root / "train" / "0003.tar")) as writer:
        for number in range(3):
            writer.write({"__key__": f"x{number}", "png": Image.new("RGB", (8, 8)), "cls": number})
    assert len(open_data(str(root)).train.labels) == 21


def image():
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"a.png": image()}, "where it holds one class's images, as ImageNet's do, unpack it into the folder"),
        ({"a.png": image(), "b.cls": b"1"}, "every sample must have an image and a .cls, found 'a' with one alone"),
        ({"a.cls": b"1"}, "every sample must have an image and a .cls, found 'a' with one alone"),
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


@pytest.fixture
def shard(tmp_path):
    return write_shards(tmp_path, shards=1) / "train" / "0000.tar"


def header(name, size, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_an_extended_header_of_gigabytes(shard, kind):
    shard.write_bytes(header("pax", 8 * 2**30, kind))
    os.truncate(shard, 10**11)  # sparse
    message = refusal(lambda: shard_images(shard.parent))
    assert "must be a whole, uncompressed tar file, found: an extended header of 8589934592 bytes" in message


@pytest.mark.parametrize("size", [-1024, -512, -(2**62)])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE])
def test_sizes_below_zero_lead_nowhere(shard, size, kind):
    shard.write_bytes(header("x.png", size, kind) + shard.read_bytes())
    started = time.thread_time()
    refusal(lambda: shard_images(shard.parent))
    assert time.thread_time() - started < 5


def test_an_image_of_terabytes(shard):
    shard.write_bytes(header("a.png", MOST_IMAGE + 1))
    os.truncate(shard, 10**12)
    assert f"must have at most {MOST_IMAGE} bytes" in refusal(lambda: shard_images(shard.parent))


def test_a_sparse_member(shard):
    with tarfile.open(shard, "w") as archive:
        add(archive, "a.cls", b"0")
    content = header("a.png", 512, tarfile.GNUTYPE_SPARSE) + bytes(512)
    shard.write_bytes(content + shard.read_bytes())
    assert "must be stored whole, found it sparse" in refusal(lambda: shard_images(shard.parent))


@pytest.mark.parametrize("label", ["\u00b2", "\uff11", "-1", "1_0", "1.0", "", "9" * 19])
def test_a_label_is_of_our_ten_digits(shard, label):
    with tarfile.open(shard, "w") as archive:
        add(archive, "a.png", b"x")
        add(archive, "a.cls", label.encode())
    assert "must be a class number from 0" in refusal(lambda: shard_images(shard.parent))


def test_a_pipe_as_a_shard(shard):
    shard.unlink()
    os.mkfifo(shard)
    assert "found none (ignored: 1 " in refusal(lambda: shard_images(shard.parent))


def test_long_names_are_read(shard):
    name = "n" * 5000
    with tarfile.open(shard, "w", format=tarfile.PAX_FORMAT) as archive:
        image = io.BytesIO()
        add(archive, f"{name}.png", image.getvalue())
        add(archive, f"{name}.cls", b"2")
    assert len(name) < MOST_HEADER
    assert shard_images(shard.parent).labels.tolist() == [2]
