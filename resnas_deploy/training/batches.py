"""The batches of training and of evaluation, in an order that the seed alone decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnas_deploy.data.labelled import Indices, LabelledImages
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Preprocessing, preprocess
from resnas_deploy.training.augment import Pixels, augmented
from resnas_deploy.training.distributed import Share
from resnas_deploy.training.image_workers import made_in_order
from resnas_deploy.training.recipe import Recipe

_AT_ONCE = 8  # shards whose images are mixed
_SUBSTITUTES = 20  # images to try in the place of one that cannot be read

EpochImage = tuple[int, int]  # the epoch, and an image's number
BatchArrays = tuple[NDArray[np.uint8] | NDArray[np.float32], Indices, tuple[str, ...]]  # of a `Batch`


@dataclass(frozen=True)
class Batch:
    """Images with their labels."""

    pixels: Tensor  # (B, 3, S, S): uint8 in training, normalised float32 in evaluation
    labels: Tensor  # (B,), int64
    unreadable: tuple[str, ...]  # what is wrong with the images that others had to stand in for


def epoch_order(chunks: Sequence[Indices], steps: int, batch: int, share: Share, rng: np.random.Generator) -> Indices:
    """Return the images that one process takes in an epoch, `(steps, batch // processes)`.

    Where the images are of one chunk, the processes share out one permutation, so that a step has the same images
    however many there are. Of several chunks (shards) each process reads its own, and several of them at a time are
    mixed; one that has fewer images than it needs takes some twice.
    """
    own = batch // share.processes
    if len(chunks) < share.processes or len(chunks) == 1:
        order = rng.permutation(np.concatenate(chunks))[: steps * batch]
        return order.reshape(steps, share.processes, own)[:, share.rank]
    dealt = rng.permutation(len(chunks))[share.rank :: share.processes]
    windows = [dealt[start : start + _AT_ONCE] for start in range(0, len(dealt), _AT_ONCE)]
    mixed = np.concatenate(
        [rng.permutation(np.concatenate([chunks[number] for number in window])) for window in windows]
    )
    return np.resize(mixed, steps * own).reshape(steps, own)


@dataclass(frozen=True)
class _Views:
    """Random views of images, by the batch."""

    images: LabelledImages
    recipe: Recipe
    side: int
    seed: int

    def __call__(self, places: Sequence[EpochImage]) -> BatchArrays:
        unreadable: list[str] = []
        views = [self._view(epoch, index, unreadable) for epoch, index in places]
        pixels, labels = zip(*views, strict=True)
        return np.stack(pixels), np.array(labels), tuple(unreadable)

    def _view(self, epoch: int, index: int, unreadable: list[str]) -> tuple[Pixels, int]:
        """Return a view of the image, or of the next one that can be read."""
        labels = self.images.labels
        for number in range(index, index + _SUBSTITUTES):
            number %= len(labels)
            try:
                image = self.images.image(number)
            except BadInput as error:  # told, not raised: the run decides
                unreadable.append(str(error))
                continue
            rng = np.random.default_rng((self.seed, epoch, number))
            return augmented(image, self.recipe, self.side, rng), int(labels[number])
        return np.zeros((3, self.side, self.side), np.uint8), int(labels[index])


def steps_per_epoch(images: LabelledImages, recipe: Recipe) -> int:
    """Return how many whole batches an epoch has. Raise `BadInput` where there is none."""
    if (steps := len(images.labels) // recipe.batch) < 1:
        raise BadInput(
            f"the training split must have at least one batch of {recipe.batch} images, found "
            f"{len(images.labels)}; set batch lower"
        )
    return steps


def training_batches(
    images: LabelledImages,
    recipe: Recipe,
    side: int,
    seed: int,
    *,
    first_step: int = 0,
    share: Share | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """Yield the batches of one process from a step on, to the end of the last epoch.

    For an image that cannot be read another one stands in, and the batch names it.
    """
    share = share or Share()
    steps = steps_per_epoch(images, recipe)

    def places() -> Iterator[list[EpochImage]]:
        for epoch in range(first_step // steps, recipe.epochs):
            rng = np.random.default_rng((seed, epoch))
            order = epoch_order(images.chunks, steps, recipe.batch, share, rng)
            for row in order[max(0, first_step - epoch * steps) :]:
                yield [(epoch, int(index)) for index in row]

    return _batches(made_in_order(_Views(images, recipe, side, seed), places(), workers))


@dataclass(frozen=True)
class _Evaluated:
    """Images as they are evaluated, by the batch."""

    images: LabelledImages
    preprocessing: Preprocessing

    def __call__(self, indices: Sequence[int]) -> BatchArrays:
        pixels, labels, unreadable = [], [], []
        for index in indices:
            try:
                pixels.append(preprocess(self.images.image(index), self.preprocessing))
                labels.append(int(self.images.labels[index]))
            except BadInput as error:
                unreadable.append(str(error))
        side = self.preprocessing.image_size
        stacked = np.stack(pixels) if pixels else np.zeros((0, 3, side, side), np.float32)
        return stacked, np.array(labels, np.int64), tuple(unreadable)


def evaluation_batches(
    images: LabelledImages, preprocessing: Preprocessing, batch: int, *, share: Share | None = None, workers: int = 0
) -> Iterator[Batch]:
    """Yield every image of a process's share once, in order; one that cannot be read is left out and named."""
    share = share or Share()
    own = np.arange(len(images.labels))[share.rank :: share.processes]
    rows = [own[start : start + batch].tolist() for start in range(0, len(own), batch)]
    return _batches(made_in_order(_Evaluated(images, preprocessing), rows, workers))


def _batches(made: Iterator[BatchArrays]) -> Iterator[Batch]:
    for pixels, labels, unreadable in made:
        yield Batch(torch.from_numpy(pixels), torch.from_numpy(labels), unreadable)
