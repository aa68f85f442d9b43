"""From an image to what training sees of it: a random crop, a flip, RandAugment."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnas_deploy.images.crops import Box
from resnas_deploy.training.recipe import Recipe

Pixels = NDArray[np.uint8]  # (3, S, S)

_ASPECTS = (3 / 4, 4 / 3)  # of random crops (arXiv 1409.4842, section 6)
_TRIES = 10
_OPERATIONS = 2  # of RandAugment on each image


def augmented(view: Image.Image, recipe: Recipe, rng: np.random.Generator) -> Image.Image:
    """Return a random crop of an image changed by the recipe."""
    if recipe.flip and rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if recipe.randaugment:
        pixels = np.ascontiguousarray(np.asarray(view).transpose(2, 0, 1))
        view = Image.fromarray(np.ascontiguousarray(_rand_augment(pixels, recipe.randaugment, rng).transpose(1, 2, 0)))
    return view


def random_box(size: tuple[int, int], least: float, rng: np.random.Generator) -> Box:
    """Return left, top, right and bottom of a random crop that keeps at least `least` of the area (arXiv 1409.4842)."""
    width, height = size
    for _ in range(_TRIES):
        area = rng.uniform(least, 1) * width * height
        aspect = math.exp(rng.uniform(math.log(_ASPECTS[0]), math.log(_ASPECTS[1])))
        w, h = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if w <= width and h <= height:
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, top, left + w, top + h
    edge = min(width, height)  # the centre
    left, top = (width - edge) / 2, (height - edge) / 2
    return left, top, left + edge, top + edge


def _rand_augment(pixels: Pixels, strength: int, rng: np.random.Generator) -> Pixels:
    """Change an image by kornia's RandAugment (arXiv 1909.13719), which draws its operations once a batch: so alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        image = torch.from_numpy(pixels).float().div(255)[None]
        changed = _operations(strength)(image)[0].clamp(0, 1).mul(255).round()
    found: Pixels = changed.to(torch.uint8).numpy()
    return found


def _operations(strength: int) -> Any:
    from kornia.augmentation.auto import RandAugment

    return RandAugment(n=_OPERATIONS, m=strength)
