"""Patch-wise CutMix and Mixup with a label for every patch (arXiv 2109.00642, 3.3; 1905.04899; 1710.09412).

And the loss on such labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from resnas_deploy.training.network import Logits
from resnas_deploy.training.transfer import on_device

MIXUP_ALPHA = 0.8  # of the Beta distribution of Mixup's share


@dataclass(frozen=True)
class Mixed:
    """Images with soft labels."""

    images: Tensor  # (B, 3, S, S)
    target: Tensor  # (B, classes), of the whole image
    patch_targets: Tensor  # (B, side * side, classes), of each patch of the last stage

    def part(self, images: slice) -> Mixed:
        """Return some of the images with their labels."""
        return Mixed(self.images[images], self.target[images], self.patch_targets[images])


def unmixed(images: Tensor, labels: Tensor, classes: int, side: int, smoothing: float) -> Mixed:
    """Return the images as they are, each patch with the label of its image."""
    target = soft_labels(labels, classes, smoothing)
    return Mixed(images, target, target[:, None].expand(-1, side * side, -1))


@dataclass(frozen=True)
class Mixing:
    """Of which other image each one gets how much. Groups of images mix among themselves."""

    others: NDArray[np.int64]  # (images,), the other one's number
    shares: NDArray[np.float32]  # (images, side * side), how much of it is in each cell

    def part(self, images: slice) -> Mixing:
        """Return the mixing of some whole groups, which are numbered from 0 again."""
        return Mixing(self.others[images] - images.start, self.shares[images])


def draw_mixing(groups: int, size: int, side: int, rng: np.random.Generator) -> Mixing:
    """Draw for equal groups: every other image gets cells of another one, those between are blended with another.

    `side` is how many cells a side the images have: as many as the last stage has patch tokens.
    """
    others = np.arange(size)
    for half in (others[::2], others[1::2]):
        half[:] = half[::-1].copy()  # each group is in random order
    cut = (groups, (size + 1) // 2, side * side)
    shares = np.empty((groups, size, side * side), np.float32)
    shares[:, ::2] = draw_cells(cut[0] * cut[1], side, rng).reshape(cut)
    shares[:, 1::2] = rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, (groups, size // 2, 1))
    return Mixing((size * np.arange(groups)[:, None] + others).ravel(), shares.reshape(-1, side * side))


def draw_cells(images: int, side: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a rectangle of cells for each image, `(images, side, side)`, true inside.

    It is to have from none to `side * side - 1` cells, each number as likely (CutMix's share from Beta(1, 1)). Its
    height is drawn evenly from the least at which it is no wider than the image, up to two below the number of cells
    and of rows; its width follows, rounded down; and its place is drawn evenly.
    """
    at = rng.random((4, images))
    cells = np.floor(at[0] * side**2)
    least = np.maximum(1, cells // side)
    most = np.maximum(least, np.minimum(side, cells) - 2)
    heights = least + np.floor(at[1] * (most - least + 1))
    widths = np.minimum(side, cells // heights)
    tops, lefts = np.floor(at[2] * (side - heights + 1)), np.floor(at[3] * (side - widths + 1))

    def inside(first: NDArray[np.float64], length: NDArray[np.float64]) -> NDArray[np.bool_]:
        return (np.arange(side) >= first[:, None]) & (np.arange(side) < (first + length)[:, None])

    found: NDArray[np.bool_] = inside(tops, heights)[:, :, None] & inside(lefts, widths)[:, None, :]
    return found


def mix(images: Tensor, labels: Tensor, mixing: Mixing, cell: int, classes: int, smoothing: float) -> Mixed:
    """Return images, `(B, 3, S, S)`, mixed with others of them, cell by cell; `labels` is `(B,)`.

    Cells are `cell` pixels a side and begin at the upper left; what the last ones have beyond the edge does not count.
    """
    device, side, pixels_a_side = images.device, math.isqrt(mixing.shares.shape[1]), images.shape[-1]
    others, cells = on_device(mixing.others, device), on_device(mixing.shares, device)
    pixels = F.interpolate(cells.view(-1, 1, side, side), size=side * cell, mode="nearest")
    pixels = pixels[..., :pixels_a_side, :pixels_a_side]
    target = soft_labels(labels, classes, smoothing)
    other = target[others]
    # The mean over the pixels. Where no cell is cut, that over the cells is the same.
    whole = cells.mean(1, keepdim=True) if side * cell == pixels_a_side else pixels.mean((2, 3))
    return Mixed(
        torch.lerp(images, images[others], pixels.to(images.dtype)),
        torch.lerp(target, other, whole),
        torch.lerp(target[:, None], other[:, None], cells[:, :, None]),
    )


def token_label_loss(logits: Logits, mixed: Mixed) -> Tensor:
    """Return the soft cross-entropy of the class token plus that of the patch tokens, each a mean (3.3)."""
    image = F.cross_entropy(logits.image.float(), mixed.target)
    patches = F.cross_entropy(logits.patches.float().flatten(0, 1), mixed.patch_targets.flatten(0, 1))
    return image + patches


def soft_labels(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Return one-hot labels `(B, classes)`, of which `smoothing` is spread over all classes."""
    others = smoothing / classes
    return torch.full((len(labels), classes), others, device=labels.device).scatter(
        1, labels[:, None], 1 - smoothing + others
    )
