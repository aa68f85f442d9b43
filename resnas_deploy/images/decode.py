"""Decoding image files safely: upright RGB of 8 bits a channel, or one line that says what is wrong with the file."""

from __future__ import annotations

import io
import re
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from resnas_deploy.errors import BadInput
from resnas_deploy.processes.unwarned import unwarned

MAX_PIXELS = 100_000_000
"""Most pixels that an image file may declare; decoding one at this limit takes up to 2 GB of memory."""

LARGE_PIXELS = 25_000_000
"""From here on images are decoded one after the other, whatever threads there are: so many times 2 GB may not be there.
Most cameras make smaller ones."""

MAX_ASPECT = 100
"""Most times that an image may be longer than it is wide. The shorter side is scaled to some 256 pixels, so that a
10000x1 strip would become 2.5 million pixels long. Refusing it is simpler than cropping before resizing, and leaves
the results of all other images equal to torchvision's; the centre crop of a longer strip would show under 1 % of it."""

# Only common raster formats: Pillow's other decoders are seldom used and tested, and one (EPS) runs another program.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM")

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"  # what their files begin with
_TEXTS = (b"iCCP", b"iTXt", b"tEXt", b"zTXt")  # chunks of a PNG that say nothing of its pixels
_MOST_SEGMENTS = 64  # of a JPEG's metadata, some 4 MB: Pillow copies all that it has with each further one
_SCAN, _COMMENT, _JFIF, _EXIF, _ADOBE = 0xDA, 0xFE, 0xE0, 0xE1, 0xEE  # markers of a JPEG
_BARE = (0x01, *range(0xD0, 0xD9))  # markers without a length

_TURNS = {  # what makes an image upright, by its EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_THEIR_SIDE = (5, 6, 7, 8)  # of which width and height change places
_large = threading.Lock()

Reduction = Callable[[tuple[int, int], bool], int]
"""By how much a JPEG may be reduced, 1, 2, 4 or 8, of its upright size, and whether it must be turned to be upright."""


def load_image(path: Path, reduction: Reduction | None = None) -> Image.Image:
    """Return the image in the file as mode RGB, 8 bits a channel, upright as its EXIF orientation says.

    Transparent parts become white, 16-bit grey is scaled to 8 bits, and of an animation the first frame counts. A
    damaged EXIF block is ignored, as viewers do. Raise BadInput, with one line, when the file cannot be read or is no
    complete image, and, before decoding, when it declares more than MAX_PIXELS or exceeds MAX_ASPECT.

    Of a JPEG, `reduction` may say that fewer pixels are enough: each side is divided by what it returns, rounded up.

    Two limits lie in the decoders: a JPEG whose end marker comes too early has its missing rows filled with grey, and
    libtiff writes its complaints about a damaged TIFF to standard error by itself.

    It may be called from several threads at once. The process-wide filters of `warnings` are replaced while it runs.
    """
    name = repr(str(path))  # repr keeps the message on one line, whatever the file is called
    _check_file(path, name)
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{name} must be an image that can be read; opening it failed: {_reason(error)}") from error
    with file:
        return read_image(file, name, reduction)


def read_image(file: BinaryIO, name: str, reduction: Reduction | None = None) -> Image.Image:
    """Do what `load_image` does, of an open file: it keeps Pillow from mapping one. `name` begins the messages."""
    with unwarned():  # Pillow warns of oddities that do not keep it from decoding, and of sizes that we judge
        try:
            return _decode(file, name, reduction)
        except BadInput:
            raise
        except UnidentifiedImageError as error:
            raise BadInput(
                f"{name} must be an image ({', '.join(_FORMATS)}); found none of these, or a damaged header; "
                "convert it or use another file"
            ) from error
        except Image.DecompressionBombError as error:
            # Pillow refused the declared size by itself, before it could tell us.
            found = re.search(r"\d+", str(error))
            raise _too_many_pixels(name, f"{found[0]} pixels" if found else "more") from error
        except MemoryError as error:
            raise BadInput(f"{name} must fit into memory to be decoded; it does not; use a smaller image") from error
        except Exception as error:  # decoders raise almost anything on damaged bytes
            raise BadInput(
                f"{name} must be a complete image; decoding it failed: {_reason(error)}; "
                "use an undamaged copy or convert it"
            ) from error


def check_size(size: tuple[int, int], name: str) -> None:
    """Raise BadInput for more than MAX_PIXELS or a shape beyond MAX_ASPECT; `name` begins the message."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(name, f"{width}x{height}")
    if max(size) > MAX_ASPECT * min(size):
        raise BadInput(
            f"{name} must be at most {MAX_ASPECT} times as long as it is wide; found {width}x{height}; crop it"
        )


def _decode(file: BinaryIO, name: str, reduction: Reduction | None) -> Image.Image:
    start = file.read(len(_PNG))
    file.seek(0)
    if start.startswith(_JPEG):
        return _decoded(_without_segments(file), name, reduction)
    try:
        return _decoded(file, name, reduction)
    except ValueError:
        if start != _PNG:
            raise
        # Pillow refuses texts and colour profiles that are large or unpack to much: without them it need not see them.
        return _decoded(_without_texts(file), name, reduction)


def _decoded(file: BinaryIO, name: str, reduction: Reduction | None) -> Image.Image:
    with Image.open(file, formats=_FORMATS) as image:
        check_size(image.size, name)
        if reduction and isinstance(image, JpegImagePlugin.JpegImageFile):
            _reduce(image, reduction)
        with _large if image.width * image.height > LARGE_PIXELS else nullcontext():
            image.load()
            turn = _TURNS.get(_orientation(image))
            rgb = _to_rgb(image, name)
    rgb.info.clear()  # Pillow would write what else is there anew, which fails where it is damaged
    with suppress(Exception):  # the same
        rgb.getexif().clear()
    return rgb if turn is None else rgb.transpose(turn)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, where it says nothing that is known."""
    with suppress(Exception):  # a damaged EXIF block
        found = image.getexif().get(ExifTags.Base.Orientation)
        if found in _TURNS:
            return int(found)
    return 1


def _reduce(image: JpegImagePlugin.JpegImageFile, reduction: Reduction) -> None:
    """Have a JPEG decoded at a part of its size."""
    width, height = image.size
    orientation = _orientation(image)
    upright = (height, width) if orientation in _ON_THEIR_SIDE else (width, height)
    scale = reduction(upright, orientation in _TURNS)
    if scale > 1:
        image.draft(None, (width // scale, height // scale))


def _without_texts(file: BinaryIO) -> BinaryIO:
    """Return the PNG without what is not needed of it. Its EXIF chunk, which may turn it, stays."""
    kept = io.BytesIO()
    kept.write(_PNG)
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in _TEXTS:
            file.seek(length + 4, io.SEEK_CUR)  # and its checksum
        else:
            kept.write(head + file.read(length + 4))
        if kind == b"IEND":
            break
    kept.seek(0)
    return kept


def _without_segments(file: BinaryIO) -> BinaryIO:
    """Return the JPEG, without most of its metadata where that is in very many segments; what decoding needs stays."""
    segments = list(_segments(file))
    if sum(marker != _ADOBE for marker, _, _ in segments) <= _MOST_SEGMENTS:
        file.seek(0)
        return file
    kept, end, has_exif = io.BytesIO(), 0, False
    for marker, start, after in segments:
        file.seek(start + 4)
        is_exif = marker == _EXIF and not has_exif and file.read(6) == b"Exif\0\0"
        if marker in (_JFIF, _ADOBE) or is_exif:
            has_exif = has_exif or is_exif
            continue
        file.seek(end)
        kept.write(file.read(start - end))
        end = after
    file.seek(end)
    kept.write(file.read())
    kept.seek(0)
    return kept


def _segments(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, start and end of each of a JPEG's segments of metadata, before its first scan."""
    place = len(_JPEG)
    while True:
        file.seek(place)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] == _SCAN:
            return
        if head[1] == 0xFF or head[1] in _BARE:  # the former fills space before a marker
            place += 1 if head[1] == 0xFF else 2
            continue
        after = place + 2 + int.from_bytes(head[2:])
        if _JFIF <= head[1] <= 0xEF or head[1] == _COMMENT:
            yield head[1], place, after
        place = after


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "RGB" and isinstance(image, JpegImagePlugin.JpegImageFile):
        return image  # a copy would take as long as decoding
    if image.mode == "F":
        raise BadInput(f"{name} must have whole-number pixels; found floating-point ones; convert it to 8 bits")
    if image.mode.startswith("I"):
        return _to_8_bits(image, name).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _to_8_bits(image: Image.Image, name: str) -> Image.Image:
    """Scale wide grey values to mode L; Pillow's `convert` would turn all above 255 to white."""
    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise BadInput(
            f"{name} must have grey values from 0 (black) to 65535 (white); found {low}..{high}; convert it to 8 bits"
        )
    grey = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)  # rounded; 65535 = 255 * 257
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def _check_file(path: Path, name: str) -> None:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise BadInput(f"{name} must be an image file; there is no such file; check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise BadInput(f"{name} must be an image file; it cannot be found: {_reason(error)}; check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise BadInput(f"{name} must be an image file; found a directory; name a file in it")
    if not stat.S_ISREG(status.st_mode):  # reading a pipe could block for ever
        raise BadInput(f"{name} must be an image file; found a pipe or a device; save the image to a file")
    if status.st_size == 0:
        raise BadInput(f"{name} must be an image file; found an empty file; use an undamaged copy")


def _too_many_pixels(name: str, found: str) -> BadInput:
    return BadInput(
        f"{name} must have at most {MAX_PIXELS // 1_000_000} megapixels; it declares {found}; scale it down first"
    )


def _reason(error: Exception) -> str:
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return "".join(c if c.isprintable() else "?" for c in text)[:200] or type(error).__name__
