"""RandAugment with magnitudes that grow, as the paper's recipe has it ("m9 mstd0.5 inc1").

Two of fifteen operations, drawn evenly and with replacement, are each applied to half of the images (arXiv 1909.13719;
the operations are those of AutoAugment, arXiv 1805.09501, table 6, but for those of colour and light, which here move
away from the image as it is, in either direction, as the magnitude grows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

MOST = 10.0  # magnitudes are from 0 to this

Operation = Callable[[Image.Image, float], Image.Image]  # an RGB image, and a share of the most, from -1 to 1

_TIMES = 2  # operations drawn for an image
_APPLIED = 0.5  # the probability that one is applied
_FILL = (124, 116, 104)  # what comes in from outside: the mean colour of ImageNet


class Drawn(NamedTuple):
    """One operation as it was drawn."""

    name: str  # of `OPERATIONS`
    magnitude: float  # from 0 to `MOST`
    negative: bool  # the direction, of those that have two


def randaugmented(image: Image.Image, magnitude: float, deviation: float, rng: np.random.Generator) -> Image.Image:
    """Return an RGB image after what `drawn_operations` draws for it."""
    for drawn in drawn_operations(magnitude, deviation, rng):
        image = operated(image, drawn)
    return image


def drawn_operations(magnitude: float, deviation: float, rng: np.random.Generator) -> Iterator[Drawn]:
    """Draw up to two operations, each at a magnitude of its own, normally distributed but for the ends of its range."""
    for _ in range(_TIMES):
        if rng.random() < _APPLIED:
            name = _NAMES[rng.integers(len(_NAMES))]
            yield Drawn(name, min(max(rng.normal(magnitude, deviation), 0.0), MOST), rng.random() < 0.5)


def operated(image: Image.Image, drawn: Drawn) -> Image.Image:
    """Return an RGB image after one operation."""
    share = drawn.magnitude / MOST
    return OPERATIONS[drawn.name](image, -share if drawn.negative else share)


def _inverted_above(image: Image.Image, share: float) -> Image.Image:
    least = 256 - int(256 * abs(share))
    return image.point([255 - value if value >= least else value for value in range(256)] * 3)


def _added_below_half(image: Image.Image, share: float) -> Image.Image:
    added = int(110 * abs(share))
    return image.point([min(255, value + added) if value < 128 else value for value in range(256)] * 3)


def _posterised(image: Image.Image, share: float) -> Image.Image:
    kept = 0xFF & -(1 << (4 + int(4 * abs(share))))
    return image.point([value & kept for value in range(256)] * 3)


def _moved(image: Image.Image, matrix: tuple[float, float, float, float, float, float]) -> Image.Image:
    return image.transform(
        image.size, Image.Transform.AFFINE, matrix, resample=Image.Resampling.BICUBIC, fillcolor=_FILL
    )


def _factor(share: float) -> float:
    return 1 + 0.9 * share


# Those without a direction take no notice of the sign, and some none of the magnitude.
OPERATIONS: dict[str, Operation] = {
    "AutoContrast": lambda image, _: ImageOps.autocontrast(image),
    "Equalize": lambda image, _: ImageOps.equalize(image),
    "Invert": lambda image, _: ImageOps.invert(image),
    "Rotate": lambda image, share: image.rotate(30 * share, Image.Resampling.BICUBIC, fillcolor=_FILL),
    "Posterize": _posterised,
    "Solarize": _inverted_above,
    "SolarizeAdd": _added_below_half,
    "Color": lambda image, share: ImageEnhance.Color(image).enhance(_factor(share)),
    "Contrast": lambda image, share: ImageEnhance.Contrast(image).enhance(_factor(share)),
    "Brightness": lambda image, share: ImageEnhance.Brightness(image).enhance(_factor(share)),
    "Sharpness": lambda image, share: ImageEnhance.Sharpness(image).enhance(_factor(share)),
    "ShearX": lambda image, share: _moved(image, (1, 0.3 * share, 0, 0, 1, 0)),
    "ShearY": lambda image, share: _moved(image, (1, 0, 0, 0.3 * share, 1, 0)),
    "TranslateX": lambda image, share: _moved(image, (1, 0, 0.45 * share * image.width, 0, 1, 0)),
    "TranslateY": lambda image, share: _moved(image, (1, 0, 0, 0, 1, 0.45 * share * image.height)),
}
_NAMES = tuple(OPERATIONS)
