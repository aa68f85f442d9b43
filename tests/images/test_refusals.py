"""Decoding: every bad file gives one clear line, and never half an image."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from support.images import COFFEE, SMALL, assert_near, coffee, exif, levels_in, png, refused

from resnas_deploy.errors import BadInput
from resnas_deploy.images import decode as images
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import preprocess


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "absent.jpg")
    assert "directory" in refused(tmp_path)
    assert "null" in refused(tmp_path / "a\0b.jpg")
    assert "too long" in refused(tmp_path / ("a" * 300))
    assert "no such file" in refused(tmp_path / "two\nlines.jpg")
    assert "no such file" in refused(tmp_path / "\udcff.jpg")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent.jpg")
    assert "no such file" in refused(tmp_path / "dangling")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be found" in refused(tmp_path / "loop")
    if hasattr(os, "mkfifo"):  # Windows has no pipes in folders
        os.mkfifo(tmp_path / "pipe")
        assert "a pipe" in refused(tmp_path / "pipe")


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(COFFEE.read_bytes())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # a file mode would not stop root
    assert "Permission denied" in refused(path)


@pytest.mark.parametrize(
    "data",
    [
        b"hello\n",
        b"\0" * 1000,
        b"%PDF-1.7\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    assert "must be an image (JPEG, PNG, GIF, WEBP, TIFF, BMP, PPM)" in refused(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.jpg").touch()
    assert "an empty file" in refused(tmp_path / "image.jpg")


def test_a_failure_of_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "memory" in refused(COFFEE)


@pytest.mark.parametrize(
    "error",
    [EOFError(), OverflowError("x\ny"), struct.error("\x1b"), zlib.error("z"), RecursionError("r"), KeyError(1)],
)
def test_whatever_a_decoder_raises_is_refused(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "must be a complete image" in refused(COFFEE)


@pytest.mark.parametrize("value", [-1, 65536])
def test_wide_grey_of_unknown_white_is_refused(tmp_path: Path, value: int) -> None:
    Image.fromarray(np.full((8, 8), value, dtype=np.int32)).save(tmp_path / "image.tiff")
    assert f"{value}..{value}" in refused(tmp_path / "image.tiff")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(tmp_path / "image.tiff")
    assert "floating-point" in refused(tmp_path / "image.tiff")


@pytest.mark.parametrize(
    ("width", "height"),
    [
        (10_001, 10_000),  # Pillow only warns
        (20_000, 20_000),  # Pillow raises
        (2_000_000_000, 2_000_000_000),
    ],
)
def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path, width: int, height: int) -> None:
    pillow_limit = Image.MAX_IMAGE_PIXELS
    path = tmp_path / "image.png"
    path.write_bytes(png(width, height, 8, 2))  # there are no pixels to decode
    message = refused(path)
    assert "at most 100 megapixels" in message
    assert f"{width}x{height}" in message or f"{width * height} pixels" in message
    assert pillow_limit == Image.MAX_IMAGE_PIXELS
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_exactly_100_megapixels_pass_the_check_of_size(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(png(10_000, 10_000, 1, 0))
    assert "decoding it failed" in refused(path)  # as it holds no pixels


def test_pillows_warning_alone_neither_refuses_nor_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Image.open(COFFEE) as image:
        pixels = image.width * image.height
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(COFFEE).size == (400, 267)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(images, "MAX_PIXELS", pixels - 1)
    assert "400x267" in refused(COFFEE)


@pytest.mark.parametrize(
    ("width", "height", "fits"), [(100, 1, True), (101, 1, False), (2, 200, True), (1, 9999, False)]
)
def test_a_long_strip_is_refused(tmp_path: Path, width: int, height: int, fits: bool) -> None:
    image = Image.new("RGB", (width, height), "red")
    image.save(tmp_path / "image.png")
    if fits:
        assert preprocess(load_image(tmp_path / "image.png"), SMALL).shape == (3, 32, 32)
    else:
        assert f"100 times as long as it is wide; found {width}x{height}" in refused(tmp_path / "image.png")
        with pytest.raises(BadInput, match="100 times"):
            preprocess(image, SMALL)


# --- damaged files ---


def _files() -> dict[str, bytes]:
    """Return a small valid file of many kinds."""
    image = coffee().resize((60, 40))
    tags = exif(6)
    tags[0x010F] = "maker"
    other = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    kinds: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "jpeg": (image, "JPEG", {}),
        "jpeg progressive": (image, "JPEG", {"progressive": True, "exif": tags}),
        "jpeg cmyk": (image.convert("CMYK"), "JPEG", {}),
        "png": (image, "PNG", {"exif": tags}),
        "png 16": (Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG", {}),
        "png palette": (image.quantize(16), "PNG", {"transparency": 3}),
        "gif": (image.quantize(16), "GIF", {"transparency": 3}),
        "gif animated": (image, "GIF", {"save_all": True, "append_images": [other]}),
        "webp": (image, "WEBP", {"exif": tags}),
        "webp lossless": (image.convert("RGBA"), "WEBP", {"lossless": True}),
        "webp animated": (image, "WEBP", {"save_all": True, "append_images": [other]}),
        "tiff": (image, "TIFF", {"exif": tags}),
        "tiff lzw": (image, "TIFF", {"compression": "tiff_lzw"}),
        "tiff deflate": (image, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "tiff jpeg": (image, "TIFF", {"compression": "jpeg"}),
        "bmp": (image, "BMP", {}),
        "ppm": (image, "PPM", {}),
    }
    files = {}
    for name, (source, kind, options) in kinds.items():
        buffer = io.BytesIO()
        source.save(buffer, kind, **options)
        files[name] = buffer.getvalue()
    return files


FILES = _files()


@pytest.mark.parametrize("kind", FILES)
def test_a_truncated_image_is_never_half_decoded(tmp_path: Path, kind: str) -> None:
    data = FILES[kind]
    path = tmp_path / "image"
    path.write_bytes(data)
    whole = levels_in(path)
    refused = 0
    for length in {*range(1, len(data), max(1, len(data) // 60)), *range(max(1, len(data) - 30), len(data))}:
        path.write_bytes(data[:length])
        try:
            assert_near(levels_in(path), whole)  # what was cut off held no pixels of the first frame
        except BadInput:
            refused += 1
    assert refused >= 25  # of about 90


def _array_or_refusal(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    # Damage to a header can declare a large image, which is legal but slow to decode.
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "MAX_PIXELS", 1_000_000)
        warnings.simplefilter("error")
        try:
            array = preprocess(load_image(path), SMALL)
        except BadInput as error:
            assert str(error).isprintable()
            assert repr(str(path)) in str(error)
        else:
            assert array.shape == (3, 32, 32)
            assert np.isfinite(array).all()


SIGNATURES = (
    b"",
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF\x40\0\0\0WEBPVP8 ",
    b"II*\0",
    b"BM",
    b"P6 ",
)
FUZZ = settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(start=st.sampled_from(SIGNATURES), rest=st.binary(max_size=300))
def test_random_bytes(tmp_path: Path, start: bytes, rest: bytes) -> None:
    _array_or_refusal(tmp_path / "image", start + rest)


@FUZZ
@given(data=st.data())
def test_damaged_images(tmp_path: Path, data: st.DataObject) -> None:
    damaged = bytearray(FILES[data.draw(st.sampled_from(sorted(FILES)))])
    end = data.draw(st.sampled_from([64, 400, len(damaged)]))  # headers are at the start
    places = st.integers(0, min(end, len(damaged)) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        damaged[place] = value
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    _array_or_refusal(tmp_path / "image", bytes(damaged))
