"""From a decoded image to the array a network takes: resize, crop, normalise, as the ImageNet evaluation does.

The arithmetic is that of torchvision's `Resize`, `CenterCrop`, `ToTensor` and `Normalize` on Pillow images, so that
accuracies compare. Colour profiles are ignored there and here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnas_deploy.arch.spec import MAX_SIDE
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.records import from_json, to_json
from resnas_deploy.images.decode import check_size

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
Inputs = npt.NDArray[np.float32 | np.uint8]  # of a network: normalised images, or levels
_Number = int | float  # as it was given, so that it is written as it was read


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input of a network.

    `image_size` is the side of the centre crop and `resize` the shorter side of the image before cropping, both in
    pixels. `mean` and `std` are per channel (red, green, blue) on the scale 0..1; the defaults are ImageNet's.
    `interpolation` is "bicubic" or "bilinear". Raises BadInput, naming the field, when a value cannot be used.
    """

    image_size: int
    resize: int
    mean: tuple[_Number, _Number, _Number] = (0.485, 0.456, 0.406)
    std: tuple[_Number, _Number, _Number] = (0.229, 0.224, 0.225)
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        """Check every field."""
        _check_whole("image_size", self.image_size, 1, MAX_SIDE)
        _check_whole("resize", self.resize, self.image_size, MAX_SIDE)
        _check_three("mean", self.mean, -1e6, 1e6)
        _check_three("std", self.std, 1e-6, 1e6)  # a smaller divisor overflows float32
        if not isinstance(self.interpolation, str) or self.interpolation not in _FILTERS:
            raise BadInput(f"interpolation must be one of {', '.join(_FILTERS)}; found {shown(self.interpolation)}")

    @classmethod
    def for_image_size(cls, image_size: int) -> Preprocessing:
        """Return the ImageNet evaluation at `image_size` pixels, which keeps the ratio of 224 to 256."""
        largest = MAX_SIDE * 224 // 256
        if image_size > largest:
            raise BadInput(f"image_size must be at most {largest} pixels, found {image_size}")
        return cls(image_size=image_size, resize=round(image_size * 256 / 224))

    def with_image_size(self, image_size: int) -> Preprocessing:
        """Return the same for a crop of another size, out of as much of the image."""
        return replace(self, image_size=image_size, resize=round(self.resize * image_size / self.image_size))

    @classmethod
    def from_json(cls, data: object, source: str = "preprocessing") -> Preprocessing:
        """Return what `to_json` wrote. Every field must be there, as a silent default could spoil accuracy.

        Raise BadInput, naming the field; `source` begins the message and should name the file.
        """
        try:
            return from_json(cls, data, source)
        except BadInput as error:  # of a value that cannot be, which knows no source
            raise BadInput(str(error) if str(error).startswith(source) else f"{source}: {error}") from None

    def to_json(self) -> dict[str, object]:
        """Return the fields as values that JSON can hold."""
        return to_json(self)


def preprocess(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Return the network's input for one image: float32, (3, image_size, image_size), red, green, blue.

    The image must be of mode RGB, as `images.load_image` gives it. Raise BadInput for another mode or a size that
    `images.check_size` refuses.
    """
    only: npt.NDArray[np.float32] = normalised(levels(image, preprocessing)[None], preprocessing)[0]
    return only


def levels(image: Image.Image, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    """Return an image's levels before it is normalised: uint8, (image_size, image_size, 3).

    Raise what `preprocess` does.
    """
    return np.array(centre(image, preprocessing), dtype=np.uint8)


def prepare(image: Image.Image, preprocessing: Preprocessing, taken: str) -> Inputs:
    """Return an image as a network takes it whose input is `float32` or `uint8`. Raise what `preprocess` does."""
    return (levels if taken == "uint8" else preprocess)(image, preprocessing)


def normalised(images: Inputs, preprocessing: Preprocessing) -> npt.NDArray[np.float32]:
    """Return images as `preprocess` makes them, float32 (B, 3, S, S), of their levels, uint8 (B, S, S, 3).

    What is normalised already stays as it is.
    """
    if images.dtype != np.uint8:
        return images.astype(np.float32, copy=False)
    mean, std = (
        np.array(values, dtype=np.float32)[:, None, None] for values in (preprocessing.mean, preprocessing.std)
    )
    # Channel by channel: where the three lie innermost, NumPy's loops are of three, at twelve times the time.
    found = np.empty((len(images), 3, *images.shape[1:3]), np.float32)
    np.divide(images.transpose(0, 3, 1, 2), np.float32(255), out=found, dtype=np.float32)
    found -= mean
    found /= std
    return found


def centre(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """Return what the network is to see of an image, before it is normalised. Raise what `preprocess` does."""
    if image.mode != "RGB":
        raise BadInput(f"the image must be of mode RGB; found {image.mode}; load it with load_image")
    check_size(image.size, "the image")
    width, height = image.size
    short, side = preprocessing.resize, preprocessing.image_size
    if width <= height:
        width, height = short, int(short * height / width)
    else:
        width, height = int(short * width / height), short
    resized = image.resize((width, height), _FILTERS[preprocessing.interpolation])
    left, top = round((width - side) / 2), round((height - side) / 2)
    return resized.crop((left, top, left + side, top + side))


def _check_whole(field: str, value: object, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise BadInput(f"{field} must be a whole number from {low} to {high}; found {shown(value)}")


def _check_three(field: str, value: object, low: float, high: float) -> None:
    if (
        not isinstance(value, tuple)
        or len(value) != 3
        or not all(type(item) in (int, float) and low <= item <= high for item in value)
    ):
        raise BadInput(f"{field} must be three numbers from {low:g} to {high:g}; found {shown(value)}")
