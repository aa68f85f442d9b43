"""What a batch is made of: images as training and as evaluation see them, by the part of a batch.

It is computed in processes of its own, which have no need of PyTorch: they start in a moment and stay small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnas_deploy.data.labelled import Indices, LabelledImages
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Preprocessing, centre
from resnas_deploy.training.input.augment import augmented, random_box
from resnas_deploy.training.recipe import Recipe

_SUBSTITUTES = 20  # images to try in the place of one that cannot be read

EpochImage = tuple[int, int]  # the epoch, and an image's number


@dataclass(frozen=True)
class Part:
    """Images of a batch."""

    pixels: NDArray[np.uint8]  # (images, S, S, 3): as they are decoded, so that nobody has to sort them by channel here
    labels: Indices
    unreadable: tuple[str, ...]  # what is wrong with those that were left out, or that others had to stand in for


@dataclass(frozen=True)
class Views:
    """Random views of images for training. A view follows from the seed, the epoch and the image's number."""

    images: LabelledImages
    recipe: Recipe
    side: int
    seed: int

    def __call__(self, places: Sequence[EpochImage]) -> Part:
        pixels = np.zeros((len(places), self.side, self.side, 3), np.uint8)
        labels = np.zeros(len(places), np.int64)
        unreadable: list[str] = []
        for place, (epoch, index) in enumerate(places):
            view, labels[place] = self._view(epoch, index, unreadable)
            if view is not None:
                pixels[place] = np.asarray(view)
        return Part(pixels, labels, tuple(unreadable))

    def _view(self, epoch: int, index: int, unreadable: list[str]) -> tuple[Image.Image | None, int]:
        """Return a view of the image, or of the next one that can be read."""
        labels = self.images.labels
        for number in range(index, index + _SUBSTITUTES):
            number %= len(labels)
            rng = np.random.default_rng((self.seed, epoch, number))
            try:
                crop = self.images.crop(number, partial(random_box, least=self.recipe.crop, rng=rng), self.side)
            except BadInput as error:  # told, not raised: the run decides
                unreadable.append(str(error))
                continue
            return augmented(crop, self.recipe, rng), int(labels[number])
        return None, int(labels[index])


@dataclass(frozen=True)
class Centres:
    """Images as they are evaluated; one that cannot be read is left out."""

    images: LabelledImages
    preprocessing: Preprocessing

    def __call__(self, indices: Sequence[int]) -> Part:
        side = self.preprocessing.image_size
        pixels = np.empty((len(indices), side, side, 3), np.uint8)
        labels: list[int] = []
        unreadable: list[str] = []
        for index in indices:
            try:
                pixels[len(labels)] = np.asarray(centre(self.images.image(index), self.preprocessing))
                labels.append(int(self.images.labels[index]))
            except BadInput as error:
                unreadable.append(str(error))
        return Part(pixels[: len(labels)], np.array(labels, np.int64), tuple(unreadable))
