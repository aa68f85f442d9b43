"""Labelled images by number, whatever holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.images.crops import Choose

Indices = NDArray[np.int64]
_SPLIT_SEED = 0  # of the held-out part: the same images in every run


class LabelledImages(Protocol):
    """A data set's split. It can be sent to worker processes."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, by number."""
        ...

    @property
    def labels(self) -> Indices:
        """The class of each image, `(images,)`."""
        ...

    @property
    def chunks(self) -> Sequence[Indices]:
        """The images in chunks that are read best in one go: a single one where any order is as good."""
        ...

    def name(self, index: int) -> str:
        """Return what people call an image: where it lies in the data, or its number."""
        ...

    def image(self, index: int) -> Image.Image:
        """Return an image of mode RGB. Raise `BadInput`, which names it, where it cannot be read."""
        ...

    def crop(self, index: int, choose: Choose, side: int) -> Image.Image:
        """Return a part of an image, `side` x `side` pixels of mode RGB, for less work than the whole takes.

        `choose` is asked for the part once the image's size is known. Raise what `image` does.
        """
        ...


@dataclass(frozen=True)
class ImageSubset:
    """Some of the images; none is copied."""

    whole: LabelledImages
    indices: Indices

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.whole.class_names

    @cached_property
    def labels(self) -> Indices:
        return self.whole.labels[self.indices]

    @cached_property
    def chunks(self) -> Sequence[Indices]:
        place = np.full(len(self.whole.labels), -1)
        place[self.indices] = np.arange(len(self.indices))
        found = (place[chunk] for chunk in self.whole.chunks)
        return [chunk[chunk >= 0] for chunk in found if (chunk >= 0).any()]

    def name(self, index: int) -> str:
        return self.whole.name(int(self.indices[index]))

    def image(self, index: int) -> Image.Image:
        return self.whole.image(int(self.indices[index]))

    def crop(self, index: int, choose: Choose, side: int) -> Image.Image:
        return self.whole.crop(int(self.indices[index]), choose, side)


def split(images: LabelledImages, held_out: int) -> tuple[ImageSubset, ImageSubset]:
    """Return what training may see, and `held_out` images of each class that it leaves to the search.

    Raise `BadInput` for a class that has no more.
    """
    labels = images.labels
    rng = np.random.default_rng(_SPLIT_SEED)
    held: list[Indices] = []
    for number, name in enumerate(images.class_names):
        own = np.flatnonzero(labels == number)
        if len(own) <= held_out:
            raise BadInput(
                f"the class {shown(name)} must have more than the {held_out} images that are held out, "
                f"found {len(own)}; set held_out lower"
            )
        held.append(rng.permutation(own)[:held_out])
    mask = np.zeros(len(labels), dtype=bool)
    mask[np.concatenate(held)] = True
    return ImageSubset(images, np.flatnonzero(~mask)), ImageSubset(images, np.flatnonzero(mask))


def drawn(images: LabelledImages, each: int, seed: int) -> ImageSubset:
    """Return `each` images of every class that there are images of, drawn by the seed. Raise `BadInput` for fewer."""
    labels, rng = images.labels, np.random.default_rng(seed)
    kept: list[Indices] = []
    for number in np.unique(labels).tolist():
        own = np.flatnonzero(labels == number)
        if len(own) < each:
            raise BadInput(
                f"the class {shown(images.class_names[number])} must have the {each} images of `held_out`, "
                f"found {len(own)}; set it lower, or leave it out to take all"
            )
        kept.append(rng.permutation(own)[:each])
    return ImageSubset(images, np.sort(np.concatenate(kept)))
