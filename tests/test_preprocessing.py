"""Preprocessing: every kind of image file gives the right colours, and every bad one gives one clear line."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from resnas_deploy import preprocessing as module
from resnas_deploy.errors import BadInput
from resnas_deploy.photographs import verification_photographs
from resnas_deploy.preprocessing import Preprocessing, load_batch, load_image, preprocess

PHOTOGRAPHS = Path(__file__).parent / "data"
COFFEE = PHOTOGRAPHS / "coffee.jpg"  # strong colours: mixed-up channels would show
SMALL = Preprocessing(image_size=32, resize=40)


@pytest.fixture(scope="module")
def photograph() -> Image.Image:
    return _photograph()


def _photograph() -> Image.Image:
    with Image.open(COFFEE) as image:
        return image.convert("RGB").resize((120, 80))


def _pixels(image: Image.Image) -> npt.NDArray[np.int64]:
    return np.asarray(image.convert("RGB")).astype(np.int64)


def _load(path: Path) -> npt.NDArray[np.int64]:
    image = load_image(path)
    assert image.mode == "RGB"
    assert not image.info  # no orientation that could be applied once more
    return np.asarray(image).astype(np.int64)


def _assert_near(
    found: npt.NDArray[np.int64], expected: npt.NDArray[np.int64], mean: float = 0.0, most: int = 0
) -> None:
    """Compare 8-bit levels: the `mean` and the `most` that they may differ."""
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference.mean() <= mean
    assert difference.max() <= most


def _refusal(path: Path) -> str:
    """Return the message of the BadInput that the file must raise, without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadInput) as caught:
            load_image(path)
    message = str(caught.value)
    assert message.isprintable()  # so it is one line
    assert repr(str(path)) in message
    return message


def _png(width: int, height: int, depth: int, colour: int, data: bytes = b"", transparent: bytes = b"") -> bytes:
    """Write a PNG by hand, for what Pillow does not write. Colour 0 is grey and 2 is RGB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    extra = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


# The record


def test_the_record_of_an_image_size_keeps_the_ratio_of_imagenet() -> None:
    assert Preprocessing.for_image_size(224).resize == 256
    assert Preprocessing.for_image_size(280).resize == 320
    assert Preprocessing.for_image_size(392).resize == 448
    assert Preprocessing.for_image_size(160).resize == 183
    record = Preprocessing.for_image_size(224)
    assert (record.mean, record.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert record.interpolation == "bicubic"


@pytest.mark.parametrize(
    "record",
    [
        Preprocessing.for_image_size(224),
        Preprocessing(96, 96, (0.5, 0.5, 0.5), (1, 1, 1), "bilinear"),
        Preprocessing(1, 1, (0, -1, 255.0)),
    ],
)
def test_the_record_survives_json(record: Preprocessing) -> None:
    assert Preprocessing.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image_size", 0),
        ("image_size", -224),
        ("image_size", 224.0),
        ("image_size", True),
        ("image_size", "224"),
        ("image_size", None),
        ("image_size", 10**9),
        ("image_size", [224, 224]),
        ("resize", 223),
        ("resize", 10**9),
        ("resize", 256.5),
        ("mean", 0.5),
        ("mean", [0.5, 0.5]),
        ("mean", [0.5, 0.5, "0.5"]),
        ("mean", [0.5, 0.5, float("nan")]),
        ("mean", [0.5, 0.5, True]),
        ("mean", [10**400, 0, 0]),
        ("std", [0.2, 0.2, 0]),
        ("std", [0.2, 0.2, -0.2]),
        ("std", [0.2, 0.2, float("inf")]),
        ("std", {}),
        ("interpolation", "cubic"),
        ("interpolation", None),
        ("interpolation", ["bicubic"]),
    ],
)
def test_a_bad_field_is_refused_by_name(field: str, value: object) -> None:
    data = Preprocessing.for_image_size(224).to_json() | {field: value}
    with pytest.raises(BadInput, match=rf"^network\.json: {field} must be") as caught:
        Preprocessing.from_json(data, source="network.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_missing_and_unknown_fields_and_other_values_are_refused() -> None:
    data = Preprocessing.for_image_size(224).to_json()
    for field in data:
        with pytest.raises(BadInput, match=f"the field {field} must be there"):
            Preprocessing.from_json({name: value for name, value in data.items() if name != field})
    with pytest.raises(BadInput, match="found 'crop'"):
        Preprocessing.from_json(data | {"crop": 1})
    others: tuple[object, ...] = ([], "bicubic", None, 3)
    for other in others:
        with pytest.raises(BadInput, match="must be an object"):
            Preprocessing.from_json(other)


# Kinds of image files


@pytest.mark.parametrize("suffix", ["png", "bmp", "ppm", "tiff", "webp"])
def test_rgb_is_unchanged_by_lossless_formats(tmp_path: Path, photograph: Image.Image, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    photograph.save(path, lossless=True)
    _assert_near(_load(path), _pixels(photograph))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_rgb_is_unchanged_by_compressed_tiff(tmp_path: Path, photograph: Image.Image, compression: str) -> None:
    path = tmp_path / "image.tiff"
    photograph.save(path, compression=compression)
    _assert_near(_load(path), _pixels(photograph))


def test_the_suffix_does_not_matter(tmp_path: Path, photograph: Image.Image) -> None:
    path = tmp_path / "image.txt"
    photograph.save(path, "PNG")
    _assert_near(_load(path), _pixels(photograph))


def test_progressive_jpeg_equals_baseline_jpeg(tmp_path: Path, photograph: Image.Image) -> None:
    photograph.save(tmp_path / "baseline.jpg", quality=90)
    photograph.save(tmp_path / "progressive.jpg", quality=90, progressive=True)
    _assert_near(_load(tmp_path / "progressive.jpg"), _load(tmp_path / "baseline.jpg"))
    _assert_near(_load(tmp_path / "progressive.jpg"), _pixels(photograph), mean=4, most=80)


def test_cmyk_jpeg(tmp_path: Path, photograph: Image.Image) -> None:
    photograph.convert("CMYK").save(tmp_path / "image.jpg", quality=95)
    _assert_near(_load(tmp_path / "image.jpg"), _pixels(photograph), mean=3, most=60)


def test_grey(tmp_path: Path, photograph: Image.Image) -> None:
    grey = photograph.convert("L")
    grey.save(tmp_path / "image.png")
    _assert_near(_load(tmp_path / "image.png"), _pixels(grey))
    grey.save(tmp_path / "image.jpg", quality=95)
    _assert_near(_load(tmp_path / "image.jpg"), _pixels(grey), mean=2, most=30)


def test_black_and_white(tmp_path: Path, photograph: Image.Image) -> None:
    bits = photograph.convert("1")
    bits.save(tmp_path / "image.png")
    found = _load(tmp_path / "image.png")
    assert set(np.unique(found)) == {0, 255}
    _assert_near(found, _pixels(bits))


def test_grey_with_alpha_lies_on_white(tmp_path: Path, photograph: Image.Image) -> None:
    grey = photograph.convert("L")
    image = Image.merge("LA", (grey, Image.new("L", grey.size, 255)))
    image.save(tmp_path / "opaque.png")
    _assert_near(_load(tmp_path / "opaque.png"), _pixels(grey))
    image.putalpha(0)
    image.save(tmp_path / "clear.png")
    assert (_load(tmp_path / "clear.png") == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_rgba_lies_on_white(tmp_path: Path, photograph: Image.Image, suffix: str) -> None:
    image = photograph.convert("RGBA")
    opaque, half, clear = (tmp_path / f"{name}.{suffix}" for name in ("opaque", "half", "clear"))
    image.save(opaque, lossless=True)
    _assert_near(_load(opaque), _pixels(photograph))
    image.putalpha(128)
    image.save(half, lossless=True)
    expected = np.rint((_pixels(photograph) * 128 + 255 * 127) / 255).astype(np.int64)
    _assert_near(_load(half), expected, mean=1, most=1)  # one level of rounding
    image.putalpha(0)
    image.save(clear, lossless=True)
    assert (_load(clear) == 255).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bit_grey_keeps_its_brightness(tmp_path: Path, photograph: Image.Image, suffix: str) -> None:
    grey = np.asarray(photograph.convert("L")).astype(np.uint16)
    path = tmp_path / f"image.{suffix}"
    expected = np.repeat(grey.astype(np.int64)[:, :, None], 3, axis=2)
    for low_bits in (0, 100, -100):
        wide = np.clip(grey.astype(np.int64) * 257 + low_bits, 0, 65535).astype(np.uint16)
        Image.fromarray(wide).save(path)
        with Image.open(path) as image:
            assert image.mode == "I;16"
        _assert_near(_load(path), expected)


def test_16_bit_grey_of_other_byte_order_and_width(tmp_path: Path, photograph: Image.Image) -> None:
    grey = np.asarray(photograph.convert("L")).astype(np.uint16)
    expected = np.repeat(grey.astype(np.int64)[:, :, None], 3, axis=2)
    big = Image.frombytes("I;16B", photograph.size, (grey * 257).astype(">u2").tobytes())
    big.save(tmp_path / "big.tiff")
    _assert_near(_load(tmp_path / "big.tiff"), expected)
    Image.fromarray(grey.astype(np.int32) * 257).save(tmp_path / "wide.tiff")
    with Image.open(tmp_path / "wide.tiff") as image:
        assert image.mode == "I"
    _assert_near(_load(tmp_path / "wide.tiff"), expected)
    header = b"P5 120 80 65535\n"
    (tmp_path / "image.pgm").write_bytes(header + (grey * 257).astype(">u2").tobytes())
    _assert_near(_load(tmp_path / "image.pgm"), expected)


def test_16_bit_colour(tmp_path: Path, photograph: Image.Image) -> None:
    levels = np.asarray(photograph).astype(">u2") * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    (tmp_path / "image.png").write_bytes(_png(120, 80, 16, 2, rows))
    _assert_near(_load(tmp_path / "image.png"), _pixels(photograph))


@pytest.mark.parametrize("value", [-1, 65536])
def test_wide_grey_of_unknown_white_is_refused(tmp_path: Path, value: int) -> None:
    Image.fromarray(np.full((8, 8), value, dtype=np.int32)).save(tmp_path / "image.tiff")
    assert f"{value}..{value}" in _refusal(tmp_path / "image.tiff")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(tmp_path / "image.tiff")
    assert "floating-point" in _refusal(tmp_path / "image.tiff")


@pytest.mark.parametrize("suffix", ["png", "gif", "tiff", "bmp"])
def test_palette(tmp_path: Path, photograph: Image.Image, suffix: str) -> None:
    image = photograph.quantize(256)
    path = tmp_path / f"image.{suffix}"
    image.save(path)
    with Image.open(path) as stored:
        assert stored.mode == "P"
    _assert_near(_load(path), _pixels(image))
    _assert_near(_load(path), _pixels(photograph), mean=6, most=100)  # what 256 colours cannot show


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette_with_a_transparent_colour_lies_on_white(tmp_path: Path, photograph: Image.Image, suffix: str) -> None:
    image = photograph.quantize(64)
    index = image.getpixel((60, 40))
    path = tmp_path / f"image.{suffix}"
    image.save(path, transparency=index)
    expected = _pixels(image)
    expected[np.asarray(image) == index] = 255
    _assert_near(_load(path), expected)


def test_palette_with_alphas_lies_on_white(tmp_path: Path, photograph: Image.Image) -> None:
    image = photograph.quantize(64)
    alphas = np.arange(64) * 4
    image.save(tmp_path / "image.png", transparency=bytes(alphas.tolist()))
    alpha = alphas[np.asarray(image)][:, :, None]
    expected = np.rint((_pixels(image) * alpha + 255 * (255 - alpha)) / 255).astype(np.int64)
    _assert_near(_load(tmp_path / "image.png"), expected, mean=1, most=1)


def test_a_transparent_colour_without_palette_lies_on_white(tmp_path: Path) -> None:
    cases = {
        "rgb": (_png(2, 1, 8, 2, b"\0\x0a\x14\x1e\x01\x02\x03", struct.pack(">3H", 10, 20, 30)), [1, 2, 3]),
        "grey": (_png(2, 1, 8, 0, b"\0\x0a\x14", struct.pack(">H", 10)), [20] * 3),
        "grey16": (_png(2, 1, 16, 0, b"\0" + struct.pack(">2H", 2570, 5140), struct.pack(">H", 2570)), [20] * 3),
        "bit": (_png(2, 1, 1, 0, b"\0\x80", struct.pack(">H", 1)), [0] * 3),
    }
    for name, (data, second) in cases.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(data)
        assert _load(path).tolist() == [[[255] * 3, second]], name


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tiff"])
def test_of_an_animation_the_first_frame_counts(tmp_path: Path, photograph: Image.Image, suffix: str) -> None:
    first = photograph.quantize(64).convert("RGB")  # exact in a GIF too
    frames = [Image.new("RGB", first.size, colour) for colour in ("red", "blue")]
    path = tmp_path / f"image.{suffix}"
    first.save(path, save_all=True, append_images=frames, lossless=True)
    with Image.open(path) as stored:
        assert getattr(stored, "n_frames", 1) == 3
    _assert_near(_load(path), _pixels(first))


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
def test_exif_orientation(tmp_path: Path, photograph: Image.Image, suffix: str, orientation: int) -> None:
    turn = TURNED[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"image.{suffix}"
    stored = photograph if turn is None else photograph.transpose(turn)
    stored.save(path, exif=exif, quality=100, subsampling=0, lossless=True)
    if suffix == "jpg":
        _assert_near(_load(path), _pixels(photograph), mean=1, most=8)  # rounding of YCbCr
    else:
        _assert_near(_load(path), _pixels(photograph))


def test_exif_orientation_of_grey_and_transparent_images(tmp_path: Path, photograph: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("L", "LA", "RGBA", "P"):
        image = photograph.quantize() if mode == "P" else photograph.convert(mode)
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "image.png", exif=exif)
        _assert_near(_load(tmp_path / "image.png"), _pixels(image))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_upright(tmp_path: Path, photograph: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    photograph.save(tmp_path / "image.png", exif=exif)
    _assert_near(_load(tmp_path / "image.png"), _pixels(photograph))


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"MM"])
def test_a_damaged_exif_block_is_upright(tmp_path: Path, photograph: Image.Image, exif: bytes) -> None:
    photograph.save(tmp_path / "image.png", exif=exif)
    _assert_near(_load(tmp_path / "image.png"), _pixels(photograph))


# Refusals


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in _refusal(tmp_path / "absent.jpg")
    assert "directory" in _refusal(tmp_path)
    assert "null" in _refusal(tmp_path / "a\0b.jpg")
    assert "too long" in _refusal(tmp_path / ("a" * 5000))
    assert "no such file" in _refusal(tmp_path / "two\nlines.jpg")
    assert "no such file" in _refusal(tmp_path / "\udcff.jpg")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent.jpg")
    assert "no such file" in _refusal(tmp_path / "dangling")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "cannot be found" in _refusal(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe" in _refusal(tmp_path / "pipe")


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(COFFEE.read_bytes())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # a file mode would not stop root
    assert "Permission denied" in _refusal(path)


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
    assert "must be an image (JPEG, PNG, GIF, WEBP, TIFF, BMP, PPM)" in _refusal(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.jpg").touch()
    assert "an empty file" in _refusal(tmp_path / "image.jpg")


def test_a_failure_of_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "memory" in _refusal(COFFEE)


@pytest.mark.parametrize(
    "error",
    [EOFError(), OverflowError("x\ny"), struct.error("\x1b"), zlib.error("z"), RecursionError("r"), KeyError(1)],
)
def test_whatever_a_decoder_raises_is_refused(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert "must be a complete image" in _refusal(COFFEE)


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
    path.write_bytes(_png(width, height, 8, 2))  # there are no pixels to decode
    message = _refusal(path)
    assert "at most 100 megapixels" in message
    assert f"{width}x{height}" in message or f"{width * height} pixels" in message
    assert pillow_limit == Image.MAX_IMAGE_PIXELS
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_exactly_100_megapixels_pass_the_check_of_size(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(_png(10_000, 10_000, 1, 0))
    assert "decoding it failed" in _refusal(path)  # as it holds no pixels


def test_pillows_warning_alone_neither_refuses_nor_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Image.open(COFFEE) as image:
        pixels = image.width * image.height
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_image(COFFEE).size == (400, 267)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(module, "MAX_PIXELS", pixels - 1)
    assert "400x267" in _refusal(COFFEE)


@pytest.mark.parametrize(
    ("width", "height", "fits"), [(100, 1, True), (101, 1, False), (2, 200, True), (1, 9999, False)]
)
def test_a_long_strip_is_refused(tmp_path: Path, width: int, height: int, fits: bool) -> None:
    image = Image.new("RGB", (width, height), "red")
    image.save(tmp_path / "image.png")
    if fits:
        assert preprocess(load_image(tmp_path / "image.png"), SMALL).shape == (3, 32, 32)
    else:
        assert f"100 times as long as it is wide; found {width}x{height}" in _refusal(tmp_path / "image.png")
        with pytest.raises(BadInput, match="100 times"):
            preprocess(image, SMALL)


def _files() -> dict[str, bytes]:
    """Return a small valid file of many kinds."""
    image = _photograph().resize((60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    other = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    kinds: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "jpeg": (image, "JPEG", {}),
        "jpeg progressive": (image, "JPEG", {"progressive": True, "exif": exif}),
        "jpeg cmyk": (image.convert("CMYK"), "JPEG", {}),
        "png": (image, "PNG", {"exif": exif}),
        "png 16": (Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG", {}),
        "png palette": (image.quantize(16), "PNG", {"transparency": 3}),
        "gif": (image.quantize(16), "GIF", {"transparency": 3}),
        "gif animated": (image, "GIF", {"save_all": True, "append_images": [other]}),
        "webp": (image, "WEBP", {"exif": exif}),
        "webp lossless": (image.convert("RGBA"), "WEBP", {"lossless": True}),
        "webp animated": (image, "WEBP", {"save_all": True, "append_images": [other]}),
        "tiff": (image, "TIFF", {"exif": exif}),
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
    whole = _load(path)
    refused = 0
    for length in {*range(1, len(data), max(1, len(data) // 60)), *range(max(1, len(data) - 30), len(data))}:
        path.write_bytes(data[:length])
        try:
            _assert_near(_load(path), whole)  # what was cut off held no pixels of the first frame
        except BadInput:
            refused += 1
    assert refused >= 25  # of about 90


# Fuzzing


def _array_or_refusal(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    # Damage to a header can declare a large image, which is legal but slow to decode.
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_PIXELS", 1_000_000)
        warnings.simplefilter("error")
        try:
            array = load_batch([path], SMALL)
        except BadInput as error:
            assert str(error).isprintable()
            assert repr(str(path)) in str(error)
        else:
            assert array.shape == (1, 3, 32, 32)
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
FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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


# Resizing, cropping and normalising


def _normalised(crop: Image.Image) -> npt.NDArray[np.float64]:
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scaled = np.asarray(crop).astype(np.float64) / 255
    normalised: npt.NDArray[np.float64] = (scaled - mean) / std
    return normalised.transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("size", "resized", "box"),
    [
        ((400, 267), (383, 256), (80, 16, 304, 240)),  # 383.52 is cut to 383, and 79.5 rounded to 80
        ((267, 400), (256, 383), (16, 80, 240, 304)),
        ((400, 266), (384, 256), (80, 16, 304, 240)),
        ((320, 212), (386, 256), (81, 16, 305, 240)),
        ((385, 256), (385, 256), (80, 16, 304, 240)),  # 80.5 is rounded to the even 80
        ((387, 256), (387, 256), (82, 16, 306, 240)),
        ((256, 256), (256, 256), (16, 16, 240, 240)),
        ((50, 50), (256, 256), (16, 16, 240, 240)),
        ((30, 100), (256, 853), (16, 314, 240, 538)),
    ],
)
def test_equals_resizing_and_cropping_by_hand(
    size: tuple[int, int], resized: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    image = load_image(COFFEE).resize(size)
    found = preprocess(image, Preprocessing.for_image_size(224))
    assert found.dtype == np.float32
    assert found.shape == (3, 224, 224)
    assert found.flags.c_contiguous
    expected = _normalised(image.resize(resized, Image.Resampling.BICUBIC).crop(box))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)  # float32 against float64


def test_bilinear_and_other_scales() -> None:
    image = load_image(COFFEE)
    found = preprocess(image, Preprocessing(96, 96, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear"))
    crop = image.resize((143, 96), Image.Resampling.BILINEAR).crop((24, 0, 120, 96))
    expected = (np.asarray(crop) / 127.5 - 1).transpose(2, 0, 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_channels_are_red_green_blue() -> None:
    found = preprocess(Image.new("RGB", (60, 40), (255, 0, 51)), SMALL)
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    for channel, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(channel, value, rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "CMYK"])
def test_preprocess_refuses_other_modes(mode: str) -> None:
    with pytest.raises(BadInput, match="must be of mode RGB"):
        preprocess(Image.new(mode, (40, 40)), SMALL)


@pytest.mark.parametrize(
    ("convert", "tolerance"),
    [
        (lambda image: image.convert("RGBA"), 0.0),
        (lambda image: image.convert("CMYK").convert("RGB"), 0.03),  # under 2 levels of 8 bits
        (lambda image: image.quantize(256), 0.1),  # about 6 levels
    ],
)
def test_variants_give_nearly_the_array_of_the_original(
    tmp_path: Path, convert: Callable[[Image.Image], Image.Image], tolerance: float
) -> None:
    original = load_image(COFFEE)
    convert(original).save(tmp_path / "image.png")
    record = Preprocessing.for_image_size(224)
    found, expected = load_batch([tmp_path / "image.png", COFFEE], record)
    assert np.abs(found - expected).mean() <= tolerance


def test_a_batch_keeps_the_order() -> None:
    paths = [PHOTOGRAPHS / "rocket.jpg", COFFEE]
    batch = load_batch(paths, SMALL)
    assert batch.dtype == np.float32
    assert batch.shape == (2, 3, 32, 32)
    for row, path in zip(batch, paths, strict=True):
        np.testing.assert_array_equal(row, preprocess(load_image(path), SMALL))
    with pytest.raises(BadInput, match="at least one image"):
        load_batch([], SMALL)
    with pytest.raises(BadInput, match=r"absent\.jpg"):
        load_batch([COFFEE, PHOTOGRAPHS / "absent.jpg"], SMALL)


def test_the_packaged_photographs() -> None:
    names, batch = verification_photographs(SMALL)
    assert names == ("astronaut.jpg", "cat.jpg", "coffee.jpg", "rocket.jpg")
    np.testing.assert_array_equal(batch, load_batch([PHOTOGRAPHS / name for name in names], SMALL))
    assert batch.shape == (4, 3, 32, 32)
    assert {path.name for path in PHOTOGRAPHS.iterdir()} == {*names, "README.md"}
    assert all((PHOTOGRAPHS / name).stat().st_size < 40_000 for name in names)
