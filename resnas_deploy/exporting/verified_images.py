"""The images that graphs are compared on: seeded noise, and real ones in the package."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.inputs import FLOAT32, InputKind
from resnas_deploy.batch import BatchRange
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.images.samples import noise, sample_images
from resnas_deploy.runners.base import Images

NOISE_IMAGES = 4
MOST = 8  # images in the largest batch that is run: as many as there are


@dataclass(frozen=True)
class Inputs:
    """What the graph is given: seeded noise, then real images. The module is given the same, normalised."""

    images: Images
    real: tuple[str, ...]  # the names of the real ones


def verification_inputs(preprocessing: Preprocessing, kind: InputKind = FLOAT32) -> Inputs:
    """Return four images of seeded noise and the package's four sample images, as a graph takes them."""
    names, samples = sample_images(preprocessing, kind)
    return Inputs(np.concatenate([noise(NOISE_IMAGES, preprocessing.image_size, kind), samples]), names)


def most_to_run(batch: BatchRange) -> int:
    """Return the largest of the batch sizes of a range that are run: 8, or what is nearest to it."""
    return batch.nearest(MOST)


def batches_to_run(batch: BatchRange) -> tuple[int, ...]:
    """Return the smallest of a range, the next, and the largest, but none above 8 unless the smallest is."""
    return tuple(sorted({batch.least, batch.nearest(batch.least + 1), most_to_run(batch)}))


def rows_of(count: int, batch: int) -> list[NDArray[np.int64]]:
    """Return indices of `count` images in batches of exactly `batch`; the last is filled up from the first image on."""
    return [np.arange(start, start + batch) % count for start in range(0, count, batch)]


def images_at(batch: int, largest: Collection[int], count: int) -> NDArray[np.int64]:
    """Return the numbers of the images that are run at a batch size: all of `count` at those of `largest`.

    What hangs on an image's values shows at any batch size. What hangs on the size shows on every image, or where
    images get in each other's way, on the different ones of a batch: so at the others it is one batch, noise and real
    images alternately, and of a batch of one one image.
    """
    if batch in largest:
        return np.arange(count)
    return np.array([*chain(*zip(range(NOISE_IMAGES), range(NOISE_IMAGES, count), strict=False))][:batch])
