"""Random erasing: a rectangle of some images becomes noise (arXiv 1708.04896, algorithm 1).

Rectangles are drawn on the host, of all images of a step at once; the noise is drawn and put in on the device. Pixels
are normalised before, so that the noise, standard normal in every pixel and channel, has their mean and deviation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnas_deploy.training.transfer import on_device

AREAS = (0.02, 0.33)  # of the image, evenly
ASPECTS = (0.3, 1 / 0.3)  # height over width, evenly by their logarithm

_TRIES = 10  # to draw a rectangle that fits


Boxes = NDArray[np.int64]  # (images, 4): the first row and column, and those behind the last; all 0: none


def draw_boxes(images: int, side: int, share: float, rng: np.random.Generator) -> Boxes:
    """Draw a rectangle for that share of so many images of `side` x `side` pixels, each decided for itself."""
    chosen = np.flatnonzero(rng.random(images) < share)
    tries = (len(chosen), _TRIES)
    areas = rng.uniform(*AREAS, tries) * side**2
    aspects = np.exp(rng.uniform(math.log(ASPECTS[0]), math.log(ASPECTS[1]), tries))
    sizes = np.maximum(np.rint(np.sqrt(np.stack([areas * aspects, areas / aspects], axis=2))), 1)
    fits = np.all(sizes <= side, axis=2)
    size = sizes[np.arange(len(chosen)), fits.argmax(axis=1)]  # the first that fits
    first = np.floor(rng.random(size.shape) * (side + 1 - size))
    boxes = np.zeros((images, 4), np.int64)
    boxes[chosen] = np.where(np.any(fits, axis=1)[:, None], np.concatenate([first, first + size], axis=1), 0)
    return boxes


def erased(images: Tensor, boxes: Boxes, seeds: Sequence[int]) -> Tensor:
    """Return normalised images, `(B, 3, S, S)`, with noise in their rectangles.

    The images are equal groups, whose noise follows from a seed each.
    """
    numbers = np.flatnonzero(boxes[:, 2])
    if not len(numbers):
        return images
    device = images.device
    chosen, edges = on_device(numbers, device), on_device(boxes[numbers], device)
    line = torch.arange(images.shape[-1], device=device)
    inside = (line >= edges[:, :2, None]) & (line < edges[:, 2:, None])  # (K, 2, S): rows, and columns
    noise = images.new_empty((len(numbers), *images.shape[1:]))
    counts = np.bincount(numbers * len(seeds) // len(images), minlength=len(seeds)).tolist()
    for part, seed in zip(torch.split(noise, counts), seeds, strict=True):
        if len(part):
            part.normal_(generator=torch.Generator(device).manual_seed(seed))
    mask = inside[:, 0, None, :, None] & inside[:, 1, None, None, :]
    return images.index_copy(0, chosen, torch.where(mask, noise, images[chosen]))
