"""Networks that exist to be timed: emitted into a temporary folder, with numbers for weights that mean nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.nodes import ONES, Weight
from resnas_deploy.precision import precision_named
from resnas_deploy.weights.checkpoint import Checkpoint, Provenance, untrained
from resnas_deploy.weights.schema import tensor_shapes

if TYPE_CHECKING:
    import torch

_SIZE = 0.07  # of the numbers' range: sums of thousands of them stay near 1, far from what a CPU is slow at
_APART = 4099  # numbers between two weights' first ones: no two are equal, which a runtime could keep once


@dataclass(frozen=True)
class UntrainedNetwork:
    """A `Network` with random weights. Nothing of it is verified: only its time is of interest."""

    arch: ArchSpec
    precision: str
    batch: BatchRange
    model: Path

    @property
    def source(self) -> str:
        """Return what names it."""
        return self.arch.fingerprint

    @property
    def label(self) -> str:
        """Return what it is, for people."""
        return f"{self.arch.fingerprint} {self.precision} {self.image_size} (untrained weights)"

    @property
    def digest(self) -> str:
        """Return the architecture's fingerprint, for a graph that nobody keeps."""
        return self.arch.fingerprint

    @property
    def image_size(self) -> int:
        """Return the pixels a side."""
        return self.arch.image_size

    def module(self) -> torch.nn.Module:
        """Return the PyTorch module."""
        from resnas_deploy.network.module import build_model

        return build_model(untrained(self.arch))


def emitted(weights: Checkpoint, precision: str, batch: int, folder: Path) -> UntrainedNetwork:
    """Write the network of these weights to `folder`. Its batch is dynamic, as that of an export is by default."""
    range_ = USUAL.extended_to(batch)
    path = folder / f"{weights.arch.fingerprint}.onnx"
    emit(weights, precision_named(precision), range_).write(path)
    return UntrainedNetwork(weights.arch, precision, range_, path)


def made_up(arch: ArchSpec, precision: str, batch: int, folder: Path) -> UntrainedNetwork:
    """Write a network to `folder` as `emitted` does, in a third of the time: its weights are any numbers of their type.

    Nothing is drawn, folded or cast for it: what takes time in a network is not what its numbers are.
    """
    range_ = USUAL.extended_to(batch)
    path = folder / f"{arch.fingerprint}.onnx"
    kind = precision_named(precision)
    graph = emit(_without_values(arch), kind, range_)
    most = max(math.prod(weight.shape) for weight in graph.weights) + _APART * len(graph.weights)
    numbers = _numbers(1 << most.bit_length(), np.dtype(kind.dtype))
    weights = [
        weight if _is_structure(weight, kind.dtype) else _filled(weight, numbers[_APART * place :])
        for place, weight in enumerate(graph.weights)
    ]
    replace(graph, weights=tuple(weights)).write(path)
    return UntrainedNetwork(arch, precision, range_, path)


def _without_values(arch: ArchSpec) -> Checkpoint:
    """Return a checkpoint that takes no memory: every number of it is the same one."""
    tensors = {name: np.broadcast_to(np.float32(1), shape) for name, shape in tensor_shapes(arch).items()}
    return Checkpoint(arch, tensors, Provenance(False, ("no weights: a network to be timed",)), checked=True)


@lru_cache(maxsize=1)
def _numbers(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    numbers = np.random.default_rng(0).random(count, dtype=np.float32)
    numbers -= np.float32(0.5)
    numbers *= np.float32(_SIZE)
    return numbers.astype(dtype)


def _is_structure(weight: Weight, dtype: np.dtype[Any]) -> bool:
    """Whether a runtime decides by the values what to run: those of shapes, and scales of one, which it leaves out."""
    return weight.dtype != dtype or weight.name.startswith(ONES)


def _filled(weight: Weight, numbers: NDArray[Any]) -> Weight:
    return replace(weight, make=lambda: numbers[: math.prod(weight.shape)].reshape(weight.shape))
