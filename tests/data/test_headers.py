"""Headers of a shard are not taken at their word: neither their sizes, nor where they lead."""

from __future__ import annotations

import io
import os
import tarfile
import time

import pytest
from support.checks import refusal
from support.small_data import add, write_shards

from resnas_deploy.data.shards import MOST_HEADER, MOST_IMAGE, shard_images


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
