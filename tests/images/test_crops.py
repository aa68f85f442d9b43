"""Crops that are decoded at the size that is wanted: near those of the whole image, whatever way up it was taken."""

from __future__ import annotations

import io
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image
from support.checks import refusal

from resnas_deploy.images import crops
from resnas_deploy.images.crops import cropped, load_crop, read_crop
from resnas_deploy.images.decode import load_image, read_image

PHOTOGRAPHS = ("astronaut", "cat", "coffee", "rocket")
SIDES = {24: 8, 48: 4, 96: 2, 224: 1}  # and how much smaller the whole image of some 400 x 266 may be decoded at
TURN = Image.Transpose
STORED = {  # by EXIF orientation: how an upright image is stored
    2: TURN.FLIP_LEFT_RIGHT,
    3: TURN.ROTATE_180,
    4: TURN.FLIP_TOP_BOTTOM,
    5: TURN.TRANSPOSE,
    6: TURN.ROTATE_90,
    7: TURN.TRANSVERSE,
    8: TURN.ROTATE_270,
}


def photograph(name):
    return files("resnas_deploy.images") / "assets" / "samples" / f"{name}.jpg"


def boxes(size, count=5):
    """Boxes of at least half of each side."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        width, height = rng.uniform(0.5, 1, 2) * size
        left, top = rng.uniform(0, 1, 2) * (size[0] - width, size[1] - height)
        yield left, top, left + width, top + height


def difference(a, b):
    return np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).mean()


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("side", SIDES)
def test_a_crop_differs_little_from_that_of_the_whole_image(name, side):
    """By what the module's docstring states."""
    whole = load_image(photograph(name))
    found = [
        difference(
            load_crop(photograph(name), lambda _, box=box: box, side), cropped(whole, lambda _, box=box: box, side)
        )
        for box in boxes(whole.size)
    ]
    assert max(found) <= 2.4
    assert np.mean(found) <= 1.3
    if side == 224:  # nothing can be left out
        assert max(found) == 0


def test_less_is_decoded_where_less_is_wanted(monkeypatch):
    found = {}
    for side in SIDES:
        sizes = []
        monkeypatch.setattr(crops._Crop, "of", lambda self, image, sizes=sizes: sizes.append(image.size))
        load_crop(photograph("astronaut"), lambda size: (0, 0, *size), side)
        found[side] = sizes[0]
    assert found == {24: (50, 50), 48: (100, 100), 96: (200, 200), 224: (400, 400)}


@given(st.integers(1, 4000), st.integers(1, 4000), st.floats(0.08, 1), st.integers(1, 400), st.booleans())
def test_no_crop_is_enlarged_from_less_than_there_is(width, height, share, side, turned):
    crop = crops._Crop(lambda size: (0, 0, size[0] * share, size[1] * share), side)
    scale = crop.scale((width, height), turned)
    assert scale == 1 or min(width, height) * share / scale >= 1.5 * side
    if turned:
        assert width % scale == height % scale == 0


@pytest.mark.parametrize("orientation", [1, *STORED])
@pytest.mark.parametrize(("width", "height"), [(400, 256), (395, 253)])
def test_a_turned_photograph_is_cropped_where_it_is_upright(orientation, width, height):
    upright = load_image(photograph("coffee")).crop((0, 0, width, height))
    stored = upright if orientation == 1 else upright.transpose(STORED[orientation])
    file, exif = io.BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(file, "JPEG", quality=95, exif=exif)
    assert difference(read_image(file, "x"), upright) < 3

    def choose(size):
        assert size == (width, height)
        return 30.5, 20.0, 370.0, 240.25

    assert difference(read_crop(file, "x", choose, 48), cropped(upright, choose, 48)) <= 2.4


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_modes_become_rgb(mode):
    file = io.BytesIO()
    load_image(photograph("cat")).convert(mode).save(file, "JPEG", quality=95)
    found = read_crop(file, "x", lambda size: (0, 0, *size), 48)
    assert (found.mode, found.size) == ("RGB", (48, 48))
    assert difference(found, cropped(read_image(file, "x"), lambda size: (0, 0, *size), 48)) <= 2.4


def test_a_png_is_cropped_of_the_whole(tmp_path):
    whole = load_image(photograph("cat"))
    whole.save(tmp_path / "cat.png")
    box = (10.0, 20.0, 300.0, 200.0)
    assert difference(load_crop(tmp_path / "cat.png", lambda _: box, 24), cropped(whole, lambda _: box, 24)) == 0


def test_a_damaged_photograph_is_refused_as_ever(tmp_path):
    content = photograph("cat").read_bytes()
    (tmp_path / "cat.jpg").write_bytes(content[: len(content) // 2])
    lines = {
        refusal(lambda side=side: load_crop(tmp_path / "cat.jpg", lambda size: (0, 0, *size), side)) for side in SIDES
    }
    assert lines == {refusal(lambda: load_image(tmp_path / "cat.jpg"))}
