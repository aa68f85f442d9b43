"""From an image to what training sees of it: a random crop, a flip, RandAugment."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from resnas_deploy.images.crops import Box
from resnas_deploy.training.input.randaugment import randaugmented
from resnas_deploy.training.recipe import Recipe

_ASPECTS = (3 / 4, 4 / 3)  # of random crops (arXiv 1409.4842, section 6)
_TRIES = 10


def augmented(view: Image.Image, recipe: Recipe, rng: np.random.Generator) -> Image.Image:
    """Return a random crop of an image changed by the recipe."""
    if recipe.flip and rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if recipe.randaugment:
        view = randaugmented(view, recipe.randaugment, recipe.randaugment_deviation, rng)
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
