"""The images that candidates are scored on, decoded, and where they lie: in memory once a machine.

They are uint8, a quarter of what normalised ones take. This process holds them itself; Ray's workers read them out of
the object store of their machine, which is shared memory, where the process that searches has put them batch by batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.processes.resources import free_memory
from resnas_deploy.searching.held_out import bytes_of
from resnas_deploy.training.input.batches import Batch, evaluation_batches


@dataclass(frozen=True)
class HeldOut:
    """The images, decoded, in batches."""

    images: tuple[Tensor, ...]  # each (B, 3, S, S), uint8
    labels: tuple[Tensor, ...]  # each (B,)
    preprocessing: Preprocessing

    @property
    def total(self) -> int:
        """Count the images of all batches."""
        return sum(map(len, self.labels))


@dataclass(frozen=True)
class StoredHeldOut:
    """The images in a store of Ray, by references, each of a batch `(B, S, S, 3)`."""

    images: tuple[Any, ...]
    labels: tuple[NDArray[np.int64], ...]
    preprocessing: Preprocessing

    def read(self, get: Callable[[Any], Any]) -> HeldOut:
        """Return them without a copy: what `get` returns is the machine's own, read alone."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that nobody may write into them, which nobody does
            images = tuple(torch.from_numpy(pixels).permute(0, 3, 1, 2) for pixels in get(list(self.images)))
        return HeldOut(images, tuple(torch.from_numpy(np.array(labels)) for labels in self.labels), self.preprocessing)


def decoded(images: LabelledImages, preprocessing: Preprocessing, batch: int, workers: int = 0) -> Iterator[Batch]:
    """Yield the images in batches, in their order. Raise `BadInput` where one cannot be read."""
    with closing(evaluation_batches(images, preprocessing, batch, workers=workers)) as batches:
        for item in batches:
            if item.unreadable:
                raise BadInput(item.unreadable[0])
            yield item


def held_here(batches: Iterator[Batch], preprocessing: Preprocessing) -> HeldOut:
    """Return the images in this process's memory."""
    pixels, labels = list[Tensor](), list[Tensor]()
    for item in batches:
        pixels.append(item.pixels)
        labels.append(item.labels)
    return HeldOut(tuple(pixels), tuple(labels), preprocessing)


def put_into(put: Callable[[Any], Any], batches: Iterator[Batch], preprocessing: Preprocessing) -> StoredHeldOut:
    """Return the images in a store, of which this process never holds more than what is being made ready."""
    stored, labels = list[Any](), list[NDArray[np.int64]]()
    for item in batches:
        stored.append(put(item.pixels.permute(0, 2, 3, 1).numpy()))
        labels.append(item.labels.numpy())
    return StoredHeldOut(tuple(stored), tuple(labels), preprocessing)


def check_room(images: int, side: int) -> None:
    """Raise `BadInput` where there is no memory for the images."""
    needed, room = bytes_of(images, side), free_memory()
    if room is not None and needed > room:
        raise BadInput(
            f"the {images} images that candidates are scored on must fit into memory: {needed / 1e9:.1f} GB, found "
            f"{room / 1e9:.1f} GB free; score on fewer (`held_out`, with `score_on`)"
        )
