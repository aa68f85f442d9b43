"""The batches of training and of evaluation, in an order that the seed alone decides."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from resnas_deploy.data.labelled import Indices, LabelledImages
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.training.ahead import made_ahead
from resnas_deploy.training.distributed import Share
from resnas_deploy.training.image_workers import made_in_order
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.views import Centres, EpochImage, Part, Views

Item = TypeVar("Item")

PART = 32  # images that a worker makes at once: all of them share a large batch, and none holds much of it
BATCHES_AHEAD = 2  # that are ready before they are asked for
MOST_EVALUATED = 256  # at once, unless the recipe says more: enough for any device
_AT_ONCE = 8  # shards whose images are mixed


@dataclass(frozen=True)
class Batch:
    """Images with their labels, in memory that a GPU copies from by itself where there is one."""

    pixels: Tensor  # (B, 3, S, S), uint8, not normalised; in memory (B, S, S, 3)
    labels: Tensor  # (B,), int64
    unreadable: tuple[str, ...]  # what is wrong with the images that others had to stand in for, or that are left out


def normalised(pixels: Tensor, preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Return what a network takes, float32 `(B, 3, S, S)` on the device, of uint8: to the bit as `preprocess` does.

    The constants are tensors: by a number, CUDA multiplies with its reciprocal where this divides.
    """
    most, mean, std = _constants(preprocessing, device)
    levels = pixels.to(device, non_blocking=True).to(torch.float32, memory_format=torch.contiguous_format)
    return levels.div_(most).sub_(mean).div_(std)


@lru_cache(maxsize=4)
def _constants(preprocessing: Preprocessing, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return 255, and means and deviations by channel, on the device: copied once, since a copy from here waits."""
    with torch.inference_mode(False):
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
            for values in (preprocessing.mean, preprocessing.std)
        )
        return torch.full((), 255.0, device=device), mean, std


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


def steps_per_epoch(images: LabelledImages, recipe: Recipe) -> int:
    """Return how many whole batches an epoch has. Raise `BadInput` where there is none."""
    if (steps := len(images.labels) // recipe.batch) < 1:
        raise BadInput(
            f"the training split must have at least one batch of {recipe.batch} images, found "
            f"{len(images.labels)}; set batch lower"
        )
    return steps


def evaluation_batch(recipe: Recipe, share: Share) -> int:
    """Return how many images a process evaluates at once: a recipe's own word, or no more than it trains with."""
    return recipe.evaluation_batch or min(MOST_EVALUATED, recipe.batch // share.processes)


def training_batches(
    images: LabelledImages,
    recipe: Recipe,
    side: int,
    seed: int,
    *,
    first_step: int = 0,
    share: Share | None = None,
    workers: int = 0,
    pin: bool = False,
) -> Generator[Batch, None, None]:
    """Yield the batches of one process from a step on, to the end of the last epoch.

    For an image that cannot be read another one stands in, and the batch names it. The workers stay from the first
    epoch to the last. With `pin`, batches lie in memory that a GPU can copy from by itself.
    """
    share = share or Share()
    steps = steps_per_epoch(images, recipe)

    def places() -> Iterator[list[EpochImage]]:
        for epoch in range(first_step // steps, recipe.epochs):
            rng = np.random.default_rng((seed, epoch))
            order = epoch_order(images.chunks, steps, recipe.batch, share, rng)
            for row in order[max(0, first_step - epoch * steps) :]:
                yield [(epoch, int(index)) for index in row]

    return _batches(Views(images, recipe, side, seed), places(), side, workers, pin)


def evaluation_batches(
    images: LabelledImages,
    preprocessing: Preprocessing,
    batch: int,
    *,
    share: Share | None = None,
    workers: int = 0,
    pin: bool = False,
) -> Generator[Batch, None, None]:
    """Yield every image of a process's share once, in order; one that cannot be read is left out and named."""
    share = share or Share()
    own = np.arange(len(images.labels))[share.rank :: share.processes]
    rows = (own[start : start + batch].tolist() for start in range(0, len(own), batch))
    return _batches(Centres(images, preprocessing), rows, preprocessing.image_size, workers, pin)


def _batches(
    make: Callable[[Sequence[Item]], Part], rows: Iterator[list[Item]], side: int, workers: int, pin: bool
) -> Generator[Batch, None, None]:
    """Yield a batch for each row, of parts that the workers make; where there are some, ahead of what is asked for."""
    if workers:
        return made_ahead(lambda stopped: _assembled(make, rows, side, workers, pin, stopped), BATCHES_AHEAD)
    return _assembled(make, rows, side, workers, pin, lambda: False)


def _assembled(
    make: Callable[[Sequence[Item]], Part],
    rows: Iterator[list[Item]],
    side: int,
    workers: int,
    pin: bool,
    stopped: Callable[[], bool],
) -> Generator[Batch, None, None]:
    rows, for_parts = itertools.tee(rows)  # they differ by what is being made
    parts = (row[start : start + PART] for row in for_parts for start in range(0, len(row), PART))
    with closing(made_in_order(make, parts, workers, stopped)) as made:
        for row in rows:
            pixels = torch.empty((len(row), side, side, 3), dtype=torch.uint8, pin_memory=pin)
            labels = torch.empty(len(row), dtype=torch.int64, pin_memory=pin)
            count, unreadable = 0, list[str]()
            for part in itertools.islice(made, -(-len(row) // PART)):
                own = slice(count, count := count + len(part.labels))
                pixels[own] = torch.from_numpy(part.pixels)
                labels[own] = torch.from_numpy(part.labels)
                unreadable += part.unreadable
            yield Batch(pixels[:count].permute(0, 3, 1, 2), labels[:count], tuple(unreadable))
