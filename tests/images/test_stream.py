"""Images read ahead by threads: in their order, to the bit, what cannot be read named, and never too many at once."""

from __future__ import annotations

import threading
import time
import warnings
from contextlib import closing
from itertools import count, islice

import numpy as np
import pytest
from PIL import Image
from support.checks import refusal
from support.places import GOLDEN

from resnas_deploy.arch.inputs import FLOAT32, UINT8
from resnas_deploy.errors import BadInput
from resnas_deploy.images import decode
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import Preprocessing, prepare
from resnas_deploy.images.stream import AHEAD, prepared, read_ahead, read_batches

FILES = sorted((GOLDEN / "images").glob("*.jpg"))
SMALL = Preprocessing(image_size=56, resize=64)


def read_images(paths, taken, threads):
    return read_ahead(paths, lambda path: prepare(load_image(path), SMALL, taken), threads=threads)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("taken", ["float32", "uint8"])
def test_what_is_read_equals_to_the_bit_what_a_loop_reads(threads, taken):
    paths = FILES * 5
    found = list(read_images(paths, taken, threads))
    assert [(read.index, read.item, read.error) for read in found] == [(i, path, "") for i, path in enumerate(paths)]
    for read in found:
        assert np.array_equal(read.made, prepare(load_image(read.item), SMALL, taken))
    again = list(prepared(paths, load_image, SMALL, taken, threads=threads))
    assert all(np.array_equal(read.made, made) for read, made in zip(found, again, strict=True))


def test_what_cannot_be_read_is_named_in_its_place(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    paths = [FILES[0], tmp_path / "bad.jpg", tmp_path / "nothing.jpg", FILES[1]]
    found = list(read_images(paths, "float32", 2))
    assert [read.made is None for read in found] == [False, True, True, False]
    assert [read.error for read in found[1:3]] == [refusal(lambda path=path: load_image(path)) for path in paths[1:3]]
    with pytest.raises(BadInput, match=r"bad\.jpg"):
        list(prepared(paths, load_image, SMALL, "float32", threads=2))


def test_the_order_is_kept_whatever_takes_longest():
    def make(number):
        time.sleep(0.01 if number % 4 == 0 else 0)
        return number

    assert [read.made for read in read_ahead(range(40), make, threads=4)] == list(range(40))


@pytest.mark.parametrize(("threads", "ahead"), [(1, 0), (2, 0), (2, 20)])
def test_no_more_are_made_than_may_wait_of_items_without_an_end(threads, ahead):
    taken = []

    def items():
        for number in count():
            taken.append(number)
            yield number

    with closing(read_ahead(items(), lambda number: number, threads=threads, ahead=ahead)) as reads:
        for read in islice(reads, 100):
            assert len(taken) - read.index <= max(ahead, AHEAD * threads) + 1
    assert len(taken) < 200
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_they_are_made_side_by_side_and_while_whoever_takes_them_does_something_else():
    """Each of two waits for the other, and all that may be ahead are made though only one was taken."""
    both, made = threading.Barrier(2), []

    def make(number):
        if number < 2:
            both.wait(10)
        made.append(number)

    with closing(read_ahead(range(100), make, threads=2, ahead=10)) as reads:
        next(reads)
        until = time.monotonic() + 10
        while len(made) < 10 and time.monotonic() < until:
            time.sleep(0.001)
        assert sorted(made)[:10] == list(range(10))


def test_what_is_no_fault_of_an_image_is_raised():
    def make(number):
        return 1 // (2 - number)

    with pytest.raises(ZeroDivisionError):
        list(read_ahead(range(9), make, threads=2))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]


def test_filters_of_warnings_are_as_before(tmp_path, monkeypatch):
    """Pillow warns of sizes; under `error`, as here, a warning that came through would be an image that is refused."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)  # of twice as many it raises
    Image.new("RGB", (300, 300), "red").save(tmp_path / "red.png")
    before = list(warnings.filters)
    found = list(read_images([tmp_path / "red.png", tmp_path / "nothing"] * 40, "uint8", 4))
    assert sum(not read.error for read in found) == 40
    assert list(warnings.filters) == before


def test_large_images_are_decoded_one_after_the_other(monkeypatch):
    inside, most = [], []
    usual = decode._to_rgb

    def counted(image, name):
        inside.append(name)
        most.append(len(inside))
        time.sleep(0.005)
        inside.remove(name)
        return usual(image, name)

    monkeypatch.setattr(decode, "_to_rgb", counted)
    monkeypatch.setattr(decode, "LARGE_PIXELS", 1000)
    assert all(read.made is not None for read in read_images(FILES * 3, "uint8", 4))
    assert max(most) == 1


@pytest.mark.parametrize("kind", [FLOAT32, UINT8])
@pytest.mark.parametrize(("count", "batch"), [(0, 3), (2, 3), (3, 3), (8, 3), (5, 1)])
def test_batches_hold_the_same_images_and_nothing_where_there_is_none(tmp_path, kind, count, batch):
    paths = [FILES[number % len(FILES)] if number % 4 != 1 else tmp_path / "nothing" for number in range(count)]
    found = list(read_batches(paths, load_image, SMALL, kind, batch, threads=2))
    assert [len(each) for each in found] == [min(batch, count - start) for start in range(0, count, batch)]
    assert [read.item for each in found for read in each.reads] == paths
    assert [read.index for each in found for read in each.reads] == list(range(count))
    for each in found:
        assert (each.images.shape, each.images.dtype) == (kind.shape(batch, 56), kind.name)
        for row in range(batch):
            read = each.reads[row] if row < len(each) else None
            if read is None or read.made is None:
                assert not each.images[row].any()
                assert read is None or "nothing" in read.error
            else:
                assert np.array_equal(each.images[row], prepare(load_image(read.item), SMALL, kind.name))
                assert np.shares_memory(each.images, read.made)


def test_two_batches_are_read_ahead(monkeypatch):
    taken = []

    def paths():
        for number in count():
            taken.append(number)
            yield FILES[0]

    with closing(read_batches(paths(), load_image, SMALL, UINT8, 8, threads=1)) as batches:
        for number in range(1, 5):
            assert len(next(batches)) == 8
            assert 8 * number < len(taken) <= 8 * (number + 2) + 1
