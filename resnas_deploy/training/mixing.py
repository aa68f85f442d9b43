"""Patch-wise CutMix and Mixup with a label for every patch (arXiv 2109.00642, 3.3; 1905.04899; 1710.09412).

And the loss on such labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resnas_deploy.training.network import Logits

MIXUP_ALPHA = 0.8  # of the Beta distribution of Mixup's share
CUTMIX_ALPHA = 1.0


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


def mix(images: Tensor, labels: Tensor, classes: int, side: int, smoothing: float, rng: np.random.Generator) -> Mixed:
    """Give every other image cells of another one (CutMix), and blend those between with another (Mixup).

    `side` is how many cells a side the image has: as many as the last stage has patch tokens. `labels` is `(B,)`.
    """
    plain = unmixed(images, labels, classes, side, smoothing)
    count = len(images)
    other = torch.empty(count, dtype=torch.int64)
    for half in (torch.arange(0, count, 2), torch.arange(1, count, 2)):
        other[half] = half.flip(0)  # the batch is in random order
    share = np.zeros((count, side, side), dtype=np.float32)  # of the other image in each cell
    for index in range(0, count, 2):
        share[index] = _box(side, rng)
    share[1::2] = 1 - rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, len(share[1::2]))[:, None, None]
    shares = torch.from_numpy(share).to(images.device)
    other = other.to(images.device)
    pixels = F.interpolate(shares[:, None], size=images.shape[-2:], mode="nearest")
    of_cells, of_image = shares.flatten(1)[..., None], shares.mean((1, 2))[:, None]
    return Mixed(
        torch.lerp(images, images[other], pixels.to(images.dtype)),
        torch.lerp(plain.target, plain.target[other], of_image),
        torch.lerp(plain.patch_targets, plain.patch_targets[other], of_cells),
    )


def token_label_loss(logits: Logits, mixed: Mixed) -> Tensor:
    """Return the soft cross-entropy of the class token plus that of the patch tokens, each a mean (3.3)."""
    image = F.cross_entropy(logits.image.float(), mixed.target)
    patches = F.cross_entropy(logits.patches.float().flatten(0, 1), mixed.patch_targets.flatten(0, 1))
    return image + patches


def soft_labels(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Return one-hot labels `(B, classes)`, of which `smoothing` is spread over all classes."""
    return F.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def _box(side: int, rng: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Draw a square of cells, 1 inside: its share of the image is drawn from Beta(1, 1), rounded to whole cells."""
    edge = round(side * float(np.sqrt(rng.beta(CUTMIX_ALPHA, CUTMIX_ALPHA))))
    top, left = rng.integers(0, side - edge + 1, 2)
    box = np.zeros((side, side), dtype=np.float32)
    box[top : top + edge, left : left + edge] = 1
    return box
