"""Decoding: every kind of image file gives the right colours, upright."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.images import assert_near, coffee, exif, levels, levels_in, png


@pytest.fixture(scope="module")
def coffee_cup() -> Image.Image:
    return coffee()


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff", "webp"])
def test_rgb_is_unchanged_by_lossless_formats(tmp_path: Path, coffee_cup: Image.Image, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    coffee_cup.save(path, lossless=True)
    assert_near(levels_in(path), levels(coffee_cup))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_rgb_is_unchanged_by_compressed_tiff(tmp_path: Path, coffee_cup: Image.Image, compression: str) -> None:
    path = tmp_path / "image.tiff"
    coffee_cup.save(path, compression=compression)
    assert_near(levels_in(path), levels(coffee_cup))


def test_the_suffix_does_not_matter(tmp_path: Path, coffee_cup: Image.Image) -> None:
    path = tmp_path / "image.txt"
    coffee_cup.save(path, "PNG")
    assert_near(levels_in(path), levels(coffee_cup))


def test_progressive_jpeg_equals_baseline_jpeg(tmp_path: Path, coffee_cup: Image.Image) -> None:
    coffee_cup.save(tmp_path / "baseline.jpg", quality=90)
    coffee_cup.save(tmp_path / "progressive.jpg", quality=90, progressive=True)
    assert_near(levels_in(tmp_path / "progressive.jpg"), levels_in(tmp_path / "baseline.jpg"))
    assert_near(levels_in(tmp_path / "progressive.jpg"), levels(coffee_cup), mean=4, most=80)


def test_cmyk_jpeg(tmp_path: Path, coffee_cup: Image.Image) -> None:
    coffee_cup.convert("CMYK").save(tmp_path / "image.jpg", quality=95)
    assert_near(levels_in(tmp_path / "image.jpg"), levels(coffee_cup), mean=3, most=60)


def test_grey(tmp_path: Path, coffee_cup: Image.Image) -> None:
    grey = coffee_cup.convert("L")
    grey.save(tmp_path / "image.png")
    assert_near(levels_in(tmp_path / "image.png"), levels(grey))
    grey.save(tmp_path / "image.jpg", quality=95)
    assert_near(levels_in(tmp_path / "image.jpg"), levels(grey), mean=2, most=30)


def test_black_and_white(tmp_path: Path, coffee_cup: Image.Image) -> None:
    bits = coffee_cup.convert("1")
    bits.save(tmp_path / "image.png")
    found = levels_in(tmp_path / "image.png")
    assert set(np.unique(found)) == {0, 255}
    assert_near(found, levels(bits))


def test_grey_with_alpha_lies_on_white(tmp_path: Path, coffee_cup: Image.Image) -> None:
    grey = coffee_cup.convert("L")
    image = Image.merge("LA", (grey, Image.new("L", grey.size, 255)))
    image.save(tmp_path / "opaque.png")
    assert_near(levels_in(tmp_path / "opaque.png"), levels(grey))
    image.putalpha(0)
    image.save(tmp_path / "clear.png")
    assert (levels_in(tmp_path / "clear.png") == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_rgba_lies_on_white(tmp_path: Path, coffee_cup: Image.Image, suffix: str) -> None:
    image = coffee_cup.convert("RGBA")
    opaque, half, clear = (tmp_path / f"{name}.{suffix}" for name in ("opaque", "half", "clear"))
    image.save(opaque, lossless=True)
    assert_near(levels_in(opaque), levels(coffee_cup))
    image.putalpha(128)
    image.save(half, lossless=True)
    expected = np.rint((levels(coffee_cup) * 128 + 255 * 127) / 255).astype(np.int64)
    assert_near(levels_in(half), expected, mean=1, most=1)  # one level of rounding
    image.putalpha(0)
    image.save(clear, lossless=True)
    assert (levels_in(clear) == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_keeps_its_brightness(tmp_path: Path, coffee_cup: Image.Image, suffix: str) -> None:
    grey = np.asarray(coffee_cup.convert("L")).astype(np.uint16)
    path = tmp_path / f"image.{suffix}"
    expected = levels(coffee_cup.convert("L"))
    for low_bits in (0, 100, -100):
        wide = np.clip(grey.astype(np.int64) * 257 + low_bits, 0, 65535).astype(np.uint16)
        Image.fromarray(wide).save(path)
        with Image.open(path) as image:
            assert image.mode == "I;16"
        assert_near(levels_in(path), expected)


def test_16_bit_grey_of_other_byte_order_and_width(tmp_path: Path, coffee_cup: Image.Image) -> None:
    grey = np.asarray(coffee_cup.convert("L")).astype(np.uint16)
    expected = levels(coffee_cup.convert("L"))
    big = Image.frombytes("I;16B", coffee_cup.size, (grey * 257).astype(">u2").tobytes())
    big.save(tmp_path / "big.tiff")
    assert_near(levels_in(tmp_path / "big.tiff"), expected)
    Image.fromarray(grey.astype(np.int32) * 257).save(tmp_path / "wide.tiff")
    with Image.open(tmp_path / "wide.tiff") as image:
        assert image.mode == "I"
    assert_near(levels_in(tmp_path / "wide.tiff"), expected)
    header = b"P5 120 80 65535\n"
    (tmp_path / "image.pgm").write_bytes(header + (grey * 257).astype(">u2").tobytes())
    assert_near(levels_in(tmp_path / "image.pgm"), expected)


def test_16_bit_colour(tmp_path: Path, coffee_cup: Image.Image) -> None:
    wide = np.asarray(coffee_cup).astype(">u2") * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    (tmp_path / "image.png").write_bytes(png(120, 80, 16, 2, rows))
    assert_near(levels_in(tmp_path / "image.png"), levels(coffee_cup))


@pytest.mark.parametrize("suffix", ["png", "gif", "tiff", "bmp"])
def test_palette(tmp_path: Path, coffee_cup: Image.Image, suffix: str) -> None:
    image = coffee_cup.quantize(256)
    path = tmp_path / f"image.{suffix}"
    image.save(path)
    with Image.open(path) as stored:
        assert stored.mode == "P"
    assert_near(levels_in(path), levels(image))
    assert_near(levels_in(path), levels(coffee_cup), mean=6, most=100)  # what 256 colours cannot show


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette_with_a_transparent_colour_lies_on_white(tmp_path: Path, coffee_cup: Image.Image, suffix: str) -> None:
    image = coffee_cup.quantize(64)
    index = image.getpixel((60, 40))
    path = tmp_path / f"image.{suffix}"
    image.save(path, transparency=index)
    expected = levels(image)
    expected[np.asarray(image) == index] = 255
    assert_near(levels_in(path), expected)


def test_palette_with_alphas_lies_on_white(tmp_path: Path, coffee_cup: Image.Image) -> None:
    image = coffee_cup.quantize(64)
    alphas = np.arange(64) * 4
    image.save(tmp_path / "image.png", transparency=bytes(alphas.tolist()))
    alpha = alphas[np.asarray(image)][:, :, None]
    expected = np.rint((levels(image) * alpha + 255 * (255 - alpha)) / 255).astype(np.int64)
    assert_near(levels_in(tmp_path / "image.png"), expected, mean=1, most=1)


def test_a_transparent_colour_without_palette_lies_on_white(tmp_path: Path) -> None:
    cases = {
        "rgb": (png(2, 1, 8, 2, b"\0\x0a\x14\x1e\x01\x02\x03", struct.pack(">3H", 10, 20, 30)), [1, 2, 3]),
        "grey": (png(2, 1, 8, 0, b"\0\x0a\x14", struct.pack(">H", 10)), [20] * 3),
        "grey16": (png(2, 1, 16, 0, b"\0" + struct.pack(">2H", 2570, 5140), struct.pack(">H", 2570)), [20] * 3),
        "bit": (png(2, 1, 1, 0, b"\0\x80", struct.pack(">H", 1)), [0] * 3),
    }
    for name, (data, second) in cases.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(data)
        assert levels_in(path).tolist() == [[[255] * 3, second]], name


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_of_an_animation_the_first_frame_counts(tmp_path: Path, coffee_cup: Image.Image, suffix: str) -> None:
    first = coffee_cup.quantize(64).convert("RGB")  # exact in a GIF too
    frames = [Image.new("RGB", first.size, colour) for colour in ("red", "blue")]
    path = tmp_path / f"image.{suffix}"
    first.save(path, save_all=True, append_images=frames, lossless=True)
    with Image.open(path) as stored:
        assert getattr(stored, "n_frames", 1) == 3
    assert_near(levels_in(path), levels(first))


TURNED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,  # stored lying on its side, to be turned clockwise
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_exif_orientation(tmp_path: Path, coffee_cup: Image.Image, suffix: str, orientation: int) -> None:
    turn = TURNED[orientation]
    path = tmp_path / f"image.{suffix}"
    stored = coffee_cup if turn is None else coffee_cup.transpose(turn)
    stored.save(path, exif=exif(orientation), quality=100, subsampling=0, lossless=True)
    if suffix == "jpg":
        assert_near(levels_in(path), levels(coffee_cup), mean=1, most=8)  # rounding of YCbCr
    else:
        assert_near(levels_in(path), levels(coffee_cup))


def test_exif_orientation_of_grey_and_transparent_images(tmp_path: Path, coffee_cup: Image.Image) -> None:
    for mode in ("L", "LA", "RGBA", "P"):
        image = coffee_cup.quantize() if mode == "P" else coffee_cup.convert(mode)
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "image.png", exif=exif(6))
        assert_near(levels_in(tmp_path / "image.png"), levels(image))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_upright(tmp_path: Path, coffee_cup: Image.Image, orientation: int) -> None:
    coffee_cup.save(tmp_path / "image.png", exif=exif(orientation))
    assert_near(levels_in(tmp_path / "image.png"), levels(coffee_cup))


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM"])
def test_a_damaged_exif_block_is_upright(tmp_path: Path, coffee_cup: Image.Image, block: bytes) -> None:
    coffee_cup.save(tmp_path / "image.png", exif=block)
    assert_near(levels_in(tmp_path / "image.png"), levels(coffee_cup))


@pytest.mark.parametrize(
    "beside",
    [
        struct.pack("<HHII", 0x8769, 4, 1, 0xFFFFFF),  # a directory beyond the end
        struct.pack("<HHII", 0x9999, 5, 1000, 0xFFFF),  # rationals beyond the end
        struct.pack("<HHII", 0x9003, 2, 20, 3),  # a text that begins within the header
    ],
    ids=["directory", "rationals", "text"],
)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_damaged_tag_beside_the_orientation(
    tmp_path: Path, coffee_cup: Image.Image, suffix: str, beside: bytes
) -> None:
    tags = struct.pack("<H", 2) + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + beside + struct.pack("<I", 0)
    stored = coffee_cup.transpose(Image.Transpose.ROTATE_90)
    path = tmp_path / f"image.{suffix}"
    stored.save(path, exif=b"Exif\0\0II*\0\x08\0\0\0" + tags, quality=100, subsampling=0, lossless=True)
    most = 8 if suffix == "jpg" else 0  # rounding of YCbCr
    assert_near(levels_in(path), levels(coffee_cup), mean=1, most=most)
