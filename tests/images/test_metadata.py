"""Decoding: metadata, however much there is of it, keeps no image from being read, and costs little time."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image
from support.images import assert_near, coffee, exif, levels_in

MEGABYTES = b"x" * 3_000_000
PACKED = zlib.compress(b"x" * 5_000_000)  # a few kilobytes that unpack to more than Pillow takes
BOMB = zlib.compress(b"x" * 200_000_000)


def encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    coffee().save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


CHUNKS = {
    "text": chunk(b"tEXt", b"a\0" + MEGABYTES),
    "packed text": chunk(b"zTXt", b"a\0\0" + PACKED),
    "a bomb": chunk(b"zTXt", b"a\0\0" + BOMB),
    "many texts": 100 * chunk(b"tEXt", b"a\0" + MEGABYTES[:900_000]),
    "XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + MEGABYTES),
    "packed XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + PACKED),
    "a profile": chunk(b"iCCP", b"icc\0\0" + PACKED),
    "a damaged profile": chunk(b"iCCP", b"icc\0\0none"),
    "EXIF": chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0" + MEGABYTES),
    "unknown": chunk(b"prVt", MEGABYTES),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("kind", CHUNKS)
def test_chunks_of_a_png(tmp_path: Path, kind: str, place: str) -> None:
    data = encoded("PNG")
    cut = 33 if place == "before" else len(data) - 12  # after its header, or before its end
    path = tmp_path / "image.png"
    path.write_bytes(data)
    whole = levels_in(path)
    path.write_bytes(data[:cut] + CHUNKS[kind] + data[cut:])
    assert_near(levels_in(path), whole)


def test_an_image_beside_a_large_text_is_turned_and_its_transparency_kept(tmp_path: Path) -> None:
    palette = coffee().quantize(64)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", exif=exif(6), transparency=3)
    data, path = buffer.getvalue(), tmp_path / "image.png"
    path.write_bytes(data)
    whole = levels_in(path)
    assert whole.shape == (120, 80, 3)
    path.write_bytes(data[:33] + CHUNKS["packed text"] + data[33:])
    assert_near(levels_in(path), whole)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


SEGMENTS = {
    "XMP": 300 * segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"x" * 60_000),
    "a profile": b"".join(segment(0xE2, b"ICC_PROFILE\0" + bytes([n + 1, 200]) + bytes(60_000)) for n in range(200)),
    "EXIF": 100 * segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0" + bytes(60_000)),
    "little EXIF": 8000 * segment(0xE1, b"Exif\0\0" + bytes(6_000)),
    "Photoshop": 300 * segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\2xx" * 3_000),
    "comments": 300 * segment(0xFE, b"c" * 65_000),
    "fill bytes": b"\xff" * 100_000,
}


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("kind", SEGMENTS)
def test_segments_of_a_jpeg(tmp_path: Path, kind: str, options: dict[str, object]) -> None:
    """Pillow copies all of the EXIF for each further segment: 48 MB in 8,000 took it minutes of a processor."""
    data = encoded("JPEG", **options)
    path = tmp_path / "image.jpg"
    path.write_bytes(data)
    whole = levels_in(path)
    path.write_bytes(data[:2] + SEGMENTS[kind] + data[2:])
    began = time.process_time()
    assert_near(levels_in(path), whole)
    assert time.process_time() - began < 20


def test_what_decoding_needs_of_a_jpegs_segments_stays(tmp_path: Path) -> None:
    """Adobe's segment says that CMYK is inverted, and EXIF's that the image lies on its side."""
    buffer = io.BytesIO()
    coffee().convert("CMYK").save(buffer, "JPEG", exif=exif(6))
    data, path = buffer.getvalue(), tmp_path / "image.jpg"
    path.write_bytes(data)
    whole = levels_in(path)
    assert whole.shape == (120, 80, 3)
    for place in (2, data.index(b"\xff\xdb")):
        path.write_bytes(data[:place] + SEGMENTS["comments"] + data[place:])
        assert_near(levels_in(path), whole)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_what_follows_an_image(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(encoded(kind))
    whole = levels_in(path)
    path.write_bytes(encoded(kind) + b"something else\n" * 10_000)
    assert_near(levels_in(path), whole)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0" + MEGABYTES, "xmp": MEGABYTES, "icc_profile": MEGABYTES}),
        ("TIFF", {"icc_profile": MEGABYTES, "description": MEGABYTES.decode()}),
        ("GIF", {"comment": MEGABYTES}),
    ],
)
def test_other_formats_with_large_metadata(tmp_path: Path, kind: str, options: dict[str, object]) -> None:
    path = tmp_path / "image"
    path.write_bytes(encoded(kind))
    whole = levels_in(path)
    path.write_bytes(encoded(kind, **options))
    assert_near(levels_in(path), whole)


def test_of_several_images_in_a_jpeg_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded("JPEG"))
    whole = levels_in(path)
    path.write_bytes(encoded("MPO", save_all=True, append_images=[coffee().transpose(Image.Transpose.ROTATE_180)]))
    assert_near(levels_in(path), whole)
