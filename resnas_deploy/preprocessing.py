"""From an image file to the array a network takes: decode, resize, crop, normalise, as the ImageNet evaluation does.

The arithmetic is that of torchvision's `Resize`, `CenterCrop`, `ToTensor` and `Normalize` on Pillow images, so that
accuracies compare. Colour profiles are ignored there and here.
"""

from __future__ import annotations

import re
import stat
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from resnas_deploy.errors import BadInput

MAX_PIXELS = 100_000_000
"""Most pixels that an image file may declare; decoding one at this limit takes up to 2 GB of memory."""

MAX_ASPECT = 100
"""Most times that an image may be longer than it is wide. The shorter side is scaled to some 256 pixels, so that a
10000x1 strip would become 2.5 million pixels long. Refusing it is simpler than cropping before resizing, and leaves
the results of all other images equal to torchvision's; the centre crop of a longer strip would show under 1 % of it."""

MAX_SIDE = 2048
"""Largest `resize`, in pixels."""

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

# Only common raster formats: Pillow's other decoders are seldom used and tested, and one (EPS) runs another program.
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM")

_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input of a network.

    `image_size` is the side of the centre crop and `resize` the shorter side of the image before cropping, both in
    pixels. `mean` and `std` are per channel (red, green, blue) on the scale 0..1; the defaults are ImageNet's.
    `interpolation` is "bicubic" or "bilinear". Raises BadInput, naming the field, when a value cannot be used.
    """

    image_size: int
    resize: int
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        """Check every field."""
        _check_whole("image_size", self.image_size, 1, MAX_SIDE)
        _check_whole("resize", self.resize, self.image_size, MAX_SIDE)
        _check_three("mean", self.mean, -1e6, 1e6)
        _check_three("std", self.std, 1e-6, 1e6)  # a smaller divisor overflows float32
        if not isinstance(self.interpolation, str) or self.interpolation not in _FILTERS:
            raise BadInput(f"interpolation must be one of {', '.join(_FILTERS)}; found {_short(self.interpolation)}")

    @classmethod
    def for_image_size(cls, image_size: int) -> Preprocessing:
        """Return the ImageNet evaluation at `image_size` pixels, which keeps the ratio of 224 to 256."""
        return cls(image_size=image_size, resize=round(image_size * 256 / 224))

    @classmethod
    def from_json(cls, data: object, source: str = "preprocessing") -> Preprocessing:
        """Return what `to_json` wrote. Every field must be there, as a silent default could spoil accuracy.

        Raises BadInput, naming the field; `source` begins the message and should name the file.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(data, Mapping):
            raise BadInput(f"{source}: must be an object with the fields {', '.join(names)}; found {_short(data)}")
        for name in names:
            if name not in data:
                raise BadInput(f"{source}: the field {name} must be there; found none; add it")
        for key in data:
            if key not in names:
                raise BadInput(f"{source}: the fields must be {', '.join(names)}; found {_short(key)}; remove it")
        values: dict[str, Any] = {key: tuple(item) if isinstance(item, list) else item for key, item in data.items()}
        try:
            return cls(**values)
        except BadInput as error:
            raise BadInput(f"{source}: {error}") from error

    def to_json(self) -> dict[str, object]:
        """Return the fields as values that JSON can hold."""
        return {
            "image_size": self.image_size,
            "resize": self.resize,
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
        }


def load_image(path: Path) -> Image.Image:
    """Return the image in the file as mode RGB, 8 bits a channel, upright as its EXIF orientation says.

    Transparent parts become white, 16-bit grey is scaled to 8 bits, and of an animation the first frame counts. A
    damaged EXIF block is ignored, as viewers do. Raises BadInput, with one line, when the file cannot be read or is no
    complete image, and, before decoding, when it declares more than MAX_PIXELS or exceeds MAX_ASPECT.

    Two limits lie in the decoders: a JPEG whose end marker comes too early has its missing rows filled with grey, and
    libtiff writes its complaints about a damaged TIFF to standard error by itself.

    The process-wide filters of `warnings` are replaced while this runs, so call it from one thread at a time.
    """
    name = repr(str(path))  # repr keeps the message on one line, whatever the file is called
    _check_file(path, name)
    try:
        file = path.open("rb")
    except OSError as error:
        raise BadInput(f"{name} must be an image that can be read; opening it failed: {_reason(error)}") from error
    # A file object, unlike a path, keeps Pillow from mapping the file into memory and from closing it itself.
    with file, warnings.catch_warnings():
        # Pillow warns of oddities that do not keep it from decoding, and of sizes that _check_size judges by itself.
        warnings.simplefilter("ignore")
        try:
            return _decode(file, name)
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


def preprocess(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Return the network's input for one image: float32, (3, image_size, image_size), red, green, blue.

    The image must be of mode RGB, as `load_image` gives it. Raises BadInput for another mode or for a shape beyond
    MAX_ASPECT.
    """
    if image.mode != "RGB":
        raise BadInput(f"the image must be of mode RGB; found {image.mode}; load it with load_image")
    _check_size(image.size, "the image")
    width, height = image.size
    short, side = preprocessing.resize, preprocessing.image_size
    if width <= height:
        width, height = short, int(short * height / width)
    else:
        width, height = int(short * width / height), short
    resized = image.resize((width, height), _FILTERS[preprocessing.interpolation])
    left, top = round((width - side) / 2), round((height - side) / 2)
    crop = resized.crop((left, top, left + side, top + side))
    scaled = np.asarray(crop, dtype=np.float32) / np.float32(255)
    mean, std = (np.array(values, dtype=np.float32) for values in (preprocessing.mean, preprocessing.std))
    normalised = (scaled - mean) / std
    return np.ascontiguousarray(normalised.transpose(2, 0, 1), dtype=np.float32)


def load_batch(paths: Sequence[Path], preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Return the network's input for N image files: float32, (N, 3, image_size, image_size), in the given order.

    Raises BadInput, naming the file, as `load_image` does, and when there are no paths.
    """
    if not paths:
        raise BadInput("a batch must hold at least one image; found no paths; name an image file")
    return np.stack([preprocess(load_image(path), preprocessing) for path in paths])


def _decode(file: BinaryIO, name: str) -> Image.Image:
    with Image.open(file, formats=_FORMATS) as image:
        _check_size(image.size, name)
        image.load()
        turn = None
        with suppress(Exception):  # a damaged EXIF block
            turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
        rgb = _to_rgb(image, name)
    rgb.info.clear()  # else the orientation could be applied a second time
    return rgb if turn is None else rgb.transpose(turn)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
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


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(name, f"{width}x{height}")
    if max(size) > MAX_ASPECT * min(size):
        raise BadInput(
            f"{name} must be at most {MAX_ASPECT} times as long as it is wide; found {width}x{height}; crop it"
        )


def _too_many_pixels(name: str, found: str) -> BadInput:
    return BadInput(
        f"{name} must have at most {MAX_PIXELS // 1_000_000} megapixels; it declares {found}; scale it down first"
    )


def _check_whole(field: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise BadInput(f"{field} must be a whole number from {low} to {high}; found {_short(value)}")


def _check_three(field: str, value: object, low: float, high: float) -> None:
    if (
        not isinstance(value, tuple)
        or len(value) != 3
        or not all(type(item) in (int, float) and low <= item <= high for item in value)
    ):
        raise BadInput(f"{field} must be three numbers from {low:g} to {high:g}; found {_short(value)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _reason(error: Exception) -> str:
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return "".join(c if c.isprintable() else "?" for c in text)[:200] or type(error).__name__
