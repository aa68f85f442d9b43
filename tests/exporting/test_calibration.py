"""Which images quantisation is calibrated with, and that a wrong source is refused in one line."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.checks import refusal

from resnas_deploy.data.demo import demo_images
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.calibration import calibration
from resnas_deploy.images.preprocessing import Preprocessing, preprocess

SIZE = 32
PREPROCESSING = Preprocessing.for_image_size(SIZE)


def image(number):
    """An image that differs from that of every other number."""
    return Image.fromarray(np.full((40, 48, 3), 20 * number, np.uint8))


@pytest.fixture
def images(tmp_path):
    """A folder of eight images, some of them in folders, beside a text file."""
    folder = tmp_path / "pictures"
    for number in range(8):
        path = folder / ("", "a", "a/b")[number % 3] / f"{number}{('.png', '.BMP')[number % 2]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image(number).save(path)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def array(tmp_path):
    """A function that saves an array and returns its path."""

    def save(values):
        path = tmp_path / "images.npy"
        np.save(path, values, allow_pickle=True)
        return path

    return save


def normalised(count, size=SIZE):
    return np.random.default_rng(7).standard_normal((count, 3, size, size), dtype=np.float32)


def refused(source, count=2):
    return refusal(lambda: calibration(source, count, PREPROCESSING))


def test_a_folder_at_any_depth(images):
    found = calibration(images, 8, PREPROCESSING)
    assert found.source == "pictures"
    assert found.images.shape == (8, 3, SIZE, SIZE)
    assert found.images.dtype == np.float32
    shades = {preprocess(image(number), PREPROCESSING).tobytes() for number in range(8)}
    assert {image.tobytes() for image in found.images} == shades


def test_a_flat_folder(tmp_path):
    for number in range(3):
        image(number).save(tmp_path / f"{number}.png")
    found = calibration(tmp_path, 3, PREPROCESSING).images
    for number in range(3):  # all of them are taken in the order of their names
        np.testing.assert_array_equal(found[number], preprocess(image(number), PREPROCESSING))


def test_the_same_images_are_drawn_in_every_export(images):
    one, other = (calibration(images, 5, PREPROCESSING) for _ in range(2))
    assert one.to_json() == other.to_json()
    np.testing.assert_array_equal(one.images, other.images)
    assert len({image.tobytes() for image in one.images}) == 5


def test_the_draw_is_not_the_first_ones(array):
    images = normalised(100)
    found = calibration(array(images), 10, PREPROCESSING).images
    rows = [int(np.flatnonzero((images == image).all((1, 2, 3)))[0]) for image in found]
    assert rows == sorted(set(rows))
    assert rows != list(range(10))


def test_an_array(array):
    images = normalised(4)
    found = calibration(array(images), 4, PREPROCESSING)
    np.testing.assert_array_equal(found.images, images)
    assert not isinstance(found.images, np.memmap)  # the file may be changed while it is used
    assert found.source == "images.npy"


def test_the_built_in_images():
    found = calibration(None, 6, PREPROCESSING)
    assert found.source == "demo"
    assert found.images.shape == (6, 3, SIZE, SIZE)
    train = demo_images()[0]
    assert found.images.tobytes() == calibration(None, 6, PREPROCESSING).images.tobytes()
    everything = calibration(None, len(train.labels), PREPROCESSING).images
    np.testing.assert_array_equal(everything[0], preprocess(train.image(0), PREPROCESSING))
    assert f"found {len(train.labels)}" in refused(None, len(train.labels) + 1)


def test_what_the_manifest_says_tells_images_apart(array):
    images = normalised(4)
    said = calibration(array(images), 4, PREPROCESSING).to_json()
    assert said["images"] == 4
    images[2, 1, 0, 0] += 1
    assert calibration(array(images), 4, PREPROCESSING).to_json()["sha256"] != said["sha256"]


def test_fewer_than_asked(images, array):
    assert "must hold the 9 images that were asked for, found 8" in refused(images, 9)
    line = refused(array(normalised(3)), 5)
    assert "images.npy must hold the 5 images that were asked for, found 3" in line
    assert "`calibration_images`" in line


def test_an_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    assert "must hold images (.bmp, " in refused(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.npy", "notes.txt", "x" * 300, "x" * 300 + ".npy"])
def test_no_such_thing(tmp_path, name):
    (tmp_path / "notes.txt").write_text("no image")
    assert "must be a" in refused(tmp_path / name)


def test_a_damaged_image_is_named(images):
    path = images / "a" / "1.BMP"
    path.write_bytes(path.read_bytes()[:100])
    assert "1.BMP" in refused(images, 8)


def test_a_folder_that_ends_like_an_image_is_no_image(images):
    (images / "folder.png").mkdir()
    assert len(calibration(images, 8, PREPROCESSING).images) == 8


@pytest.mark.parametrize(
    "values",
    [
        normalised(4).astype(np.float64),
        normalised(4).astype(np.float16),
        normalised(4).astype(">f4"),
        np.zeros((4, 3, SIZE, SIZE), np.uint8),
        normalised(4, 64),
        normalised(4).transpose(0, 2, 3, 1),
        normalised(1)[0],
        np.float32(1),
        np.zeros(4, [("x", np.float32)]),
        np.array(["a\nb"] * 4),
    ],
    ids=lambda values: f"{values.dtype} {values.shape}",
)
def test_an_array_of_another_type_or_shape(array, values):
    line = refused(array(values))
    assert f"must hold normalised images, float32 (N, 3, {SIZE}, {SIZE}), found" in line


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path(self.path).touch, ()


@pytest.mark.parametrize("form", ["array", "pickle"])
def test_nothing_is_unpickled(array, tmp_path, form):
    sprung = tmp_path / "sprung"
    path = array(np.array([Trap(sprung)], dtype=object))
    if form == "pickle":
        path.write_bytes(pickle.dumps(Trap(sprung)))
    assert "must be an array that numpy.save wrote" in refused(path)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()


@pytest.mark.parametrize("length", [0, 1, 5, 8, 60, 127, 128, 200, -1])
def test_a_truncated_array(array, length):
    path = array(normalised(4))
    path.write_bytes(path.read_bytes()[:length])
    assert "must be an array that numpy.save wrote" in refused(path)


def test_an_archive_of_arrays_is_no_array(tmp_path):
    path = tmp_path / "images.npy"
    with path.open("wb") as file:
        np.savez(file, images=normalised(4))
    assert zipfile.is_zipfile(path)
    assert "must be an array that numpy.save wrote" in refused(path)


def test_a_header_that_promises_too_much(tmp_path):
    path = tmp_path / "images.npy"
    for shape in ((10**9, 3, SIZE, SIZE), (-1, 3, SIZE, SIZE), (10**30, 3, SIZE, SIZE)):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        path.write_bytes(header.getvalue() + bytes(1000))
        assert "must be an array that numpy.save wrote" in refused(path)
    path.write_bytes(b"\x93NUMPY\x02\x00" + (20_000).to_bytes(4, "little") + b" " * 20_000)
    assert "must be an array that numpy.save wrote" in refused(path)
    path.write_bytes(b"\x93NUMPY\x01\x00\x06\x00{'a':\n")
    assert "must be an array that numpy.save wrote" in refused(path)


def test_a_folder_that_is_called_like_an_array(tmp_path):
    (tmp_path / "images.npy").mkdir()
    image(1).save(tmp_path / "images.npy" / "1.png")
    assert len(calibration(tmp_path / "images.npy", 1, PREPROCESSING).images) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(array, value):
    images = normalised(4)
    images[1, 2, 3, 4] = value
    assert "must hold finite numbers, found NaN or infinity in 1 of 4 images" in refused(array(images), 4)


def test_any_damaged_byte_of_a_header_is_refused_or_harmless(array):
    path = array(normalised(2))
    whole = path.read_bytes()
    for position in range(128):
        for value in b"\x00\n'{1":
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            try:
                found = calibration(path, 1, PREPROCESSING)
            except BadInput as error:
                assert str(error).isprintable(), repr(error)
            else:
                assert found.images.shape == (1, 3, SIZE, SIZE)
