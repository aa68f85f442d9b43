"""What the tests of images share: an image, the comparison of pixels, the refusal of a file, PNG by hand."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from support.checks import refusal
from support.places import IMAGES

from resnas_deploy.images.decode import load_image
from resnas_deploy.images.preprocessing import Preprocessing

COFFEE = IMAGES / "coffee.jpg"  # strong colours: mixed-up channels would show
SMALL = Preprocessing(image_size=32, resize=40)


def coffee() -> Image.Image:
    """The coffee at 120x80 pixels."""
    with Image.open(COFFEE) as image:
        return image.convert("RGB").resize((120, 80))


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def levels(image: Image.Image) -> npt.NDArray[np.int64]:
    return np.asarray(image.convert("RGB")).astype(np.int64)


def levels_in(path: Path) -> npt.NDArray[np.int64]:
    """The pixels that `load_image` finds in a file."""
    image = load_image(path)
    assert image.mode == "RGB"
    assert not image.info  # no orientation that could be applied once more
    return levels(image)


def assert_near(
    found: npt.NDArray[np.int64], expected: npt.NDArray[np.int64], mean: float = 0.0, most: int = 0
) -> None:
    """Compare 8-bit levels: the `mean` and the `most` that they may differ."""
    assert found.shape == expected.shape
    difference = np.abs(found - expected)
    assert difference.mean() <= mean
    assert difference.max() <= most


def refused(path: Path) -> str:
    """The message of the BadInput that the file must raise, without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        message = refusal(lambda: load_image(path))
    assert repr(str(path)) in message
    return message


def png(width: int, height: int, depth: int, colour: int, data: bytes = b"", transparent: bytes = b"") -> bytes:
    """Write a PNG by hand, for what Pillow does not write. Colour 0 is grey and 2 is RGB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    extra = chunk(b"tRNS", transparent) if transparent else b""
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
