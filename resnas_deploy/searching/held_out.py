"""The images that candidates are scored on: what training left out, or labelled images of the user's own."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnas_deploy.data.class_match import check_classes, classes_of
from resnas_deploy.data.label_match import labelled_for
from resnas_deploy.data.labelled import ImageSubset, Indices, LabelledImages, drawn, split
from resnas_deploy.data.source import open_data, open_labelled
from resnas_deploy.errors import BadInput
from resnas_deploy.weights.checkpoint import Checkpoint

KEPT_BYTES = 2**28  # of what the stem makes of the images, on a machine: of the demo's 1,000 it is 16 MB
_ORDER_SEED = 0  # of the images: in random order, so that the first ones are a fair sample


@dataclass(frozen=True)
class HeldOutSource:
    """Where the images are, as a user names it: what training left out of a data set, or labelled images of his own."""

    data: str = ""  # the data set that the supernet was trained on
    score_on: str = ""  # or a folder
    each: int | None = None  # images of each class of that folder, drawn by the seed; None: all
    seed: int = 0

    def __post_init__(self) -> None:
        if bool(self.data) == bool(self.score_on):
            raise BadInput(
                "there must be one of `data`, which the supernet was trained on, and `score_on`, a folder of labelled "
                f"images, found {'both' if self.data else 'none'}"
            )
        if self.each is not None and (not self.score_on or self.each < 1):
            raise BadInput(
                "`held_out` must be a number of images of each class from 1, of the folder `score_on`; of `data` those "
                "are taken that training left out"
            )

    def images(self, supernet: Checkpoint, path: Path) -> LabelledImages:
        """Return them, with the supernet's numbers of their classes.

        Raise `BadInput` where training left none to the search, and for labels of classes that the supernet lacks.
        """
        if self.score_on:
            whole = labelled_for(
                open_labelled(Path(self.score_on)), classes_of(supernet.arch.classes, supernet.task), str(path)
            )
            found = drawn(whole, self.each, self.seed) if self.each else whole
            _note(
                f"whether the supernet's training saw images of {self.score_on} is not known; accuracy is fair only if "
                "it did not"
            )
            return found
        opened = open_data(self.data)
        check_classes(classes_of(supernet.arch.classes, supernet.task), opened.train.class_names, str(path))
        if supernet.task is None or not supernet.task.held_out:
            raise BadInput(
                f"{path} must have been trained with held_out images of each class, found none; name labelled images "
                "that training did not see as `score_on`, or train it by: `train.supernet()`"
            )
        return split(opened.train, supernet.task.held_out)[1]

    def identity(self, labels: Indices) -> str:
        """Return what tells these images from others, of which the `labels` are known."""
        if self.data:
            return self.data
        return f"{self.score_on} {self.each} {self.seed} {hashlib.sha256(labels.tobytes()).hexdigest()[:16]}"


def bytes_of(images: int, side: int) -> int:
    """Return the bytes of so many images."""
    return 3 * side * side * images


def in_random_order(images: LabelledImages) -> LabelledImages:
    """Return the images in an order in which the first are a fair sample: always the same."""
    return ImageSubset(images, np.random.default_rng(_ORDER_SEED).permutation(len(images.labels)))


def _note(text: str) -> None:
    logging.getLogger(__name__).warning("%s", text)
