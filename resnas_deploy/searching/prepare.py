"""From what a user asks of a search to the search: supernet, held-out images, limits, checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.space import SPACES, SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.data.class_match import check_classes, classes_of
from resnas_deploy.data.labelled import LabelledImages, split
from resnas_deploy.data.source import open_data
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.runners.devices import torch_device
from resnas_deploy.searching.limits import Cost
from resnas_deploy.searching.scorer import Scorer, held_out
from resnas_deploy.weights.checkpoint import Checkpoint, load

LATENCY = "latency"


@dataclass(frozen=True)
class ScorerSource:
    """Makes a scorer wherever it is sent: it reads the supernet and the images there."""

    supernet: Path
    data: str
    batch: int
    device: str  # "": a GPU where there is one

    def __call__(self) -> Scorer:
        supernet = load(self.supernet)
        images = held_out_images(supernet, self.supernet, self.data)
        return Scorer(supernet, held_out(images, supernet, self.batch), torch_device(self.device))


def space_of(supernet: Checkpoint, path: Path) -> SearchSpace:
    """The space whose supernet this is. Raises `BadInput` where it is none's."""
    arch = supernet.arch
    for space in SPACES.values():
        same = (space.patch_size, space.stem_mid_width) == (arch.patch_size, arch.stem_mid_width)
        if same and space.widest().full.stages == arch.stages:
            return replace(space, classes=arch.classes, image_size=arch.image_size)
    raise BadInput(f"{path} must be a supernet of one of the spaces {', '.join(SPACES)}, found another network")


def held_out_images(supernet: Checkpoint, path: Path, data: str) -> LabelledImages:
    """What training left to the search. Raises `BadInput` where it left nothing, or the data is other data."""
    opened = open_data(data)
    check_classes(classes_of(supernet.arch.classes, supernet.task), opened.train.class_names, str(path))
    if supernet.task is None or not supernet.task.held_out:
        raise BadInput(
            f"{path} must have been trained with held_out images of each class, found none; "
            "train it by: resnas train supernet"
        )
    return split(opened.train, supernet.task.held_out)[1]


def macs_cost() -> Cost:
    """Multiply-accumulates of an image."""
    return Cost("MACs", "G", lambda archs: _each(macs, archs) / 1e9)


def parameters_cost() -> Cost:
    """Trainable numbers."""
    return Cost("parameters", "M", lambda archs: _each(parameters, archs) / 1e6)


def latency_cost(model: LatencyModel, space: SearchSpace) -> Cost:
    """What the latency model predicts for a batch. Raises `BadInput` for images of another size than it was made of."""
    if space.image_size != (profiled := SPACES[space.name].image_size):
        raise BadInput(
            f"the supernet must take images of {profiled} pixels, of which a profile is, found {space.image_size}; "
            "limit MACs instead"
        )
    return Cost(LATENCY, "ms", lambda archs: model.regression.predict(archs).ms)


def _each(count: Callable[[ArchSpec], int], archs: Sequence[ArchSpec]) -> NDArray[np.float64]:
    return np.array([count(arch) for arch in archs], dtype=np.float64)
