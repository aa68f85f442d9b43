"""Networks that exist to be timed: emitted into a temporary folder, with numbers for weights that mean nothing.

A quantised one is the graph that an export writes, but that its steps are made up and no image was looked at: they are
numbers in the graph, and products take the same time whatever they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.graph.emit import EmittedGraph, emit
from resnas_deploy.graph.nodes import ONES, Weight
from resnas_deploy.precision import QUANTISED, Precision, precision_named
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

    @property
    def input(self) -> str:
        """Return what the graph takes: normalised images."""
        return "float32"

    @property
    def for_runner(self) -> str:
        """Return nothing, for any runner may run it."""
        return ""

    def module(self) -> torch.nn.Module:
        """Return the PyTorch module."""
        from resnas_deploy.network.module import build_model

        return build_model(untrained(self.arch))


def emitted(weights: Checkpoint, precision: str, batch: int, folder: Path) -> UntrainedNetwork:
    """Write the network of these weights to `folder`. Its batch is dynamic, as that of an export is by default.

    Raise `NotAvailable` for a quantised one where the quantiser is not installed.
    """
    return _written(weights, precision, batch, folder, lambda graph, _: graph)


def made_up(arch: ArchSpec, precision: str, batch: int, folder: Path) -> UntrainedNetwork:
    """Write a network to `folder` as `emitted` does, in a third of the time: its weights are any numbers of their type.

    Nothing is drawn, folded or cast for it: what takes time in a network is not what its numbers are.
    """
    return _written(_without_values(arch), precision, batch, folder, _filled)


def _written(
    weights: Checkpoint,
    precision: str,
    batch: int,
    folder: Path,
    fill: Callable[[EmittedGraph, Precision], EmittedGraph],
) -> UntrainedNetwork:
    range_ = USUAL.extended_to(batch)
    path = folder / f"{weights.arch.fingerprint}.onnx"
    network = UntrainedNetwork(weights.arch, precision, range_, path)
    if precision not in QUANTISED:
        kind = precision_named(precision)
        fill(emit(weights, kind, range_), kind).write(path)
        return network
    from resnas_deploy.exporting.quantise import check_quantiser, quantise  # imports onnx
    from resnas_deploy.exporting.scheme import scheme_for

    check_quantiser()
    scheme = scheme_for(precision, engine=False)
    kind = precision_named(scheme.around)
    fill(emit(weights, kind, range_), kind).write(path)
    quantise(path, None, scheme)
    return network


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


def _filled(graph: EmittedGraph, precision: Precision) -> EmittedGraph:
    """Put any numbers in the place of the weights, but for those by which a runtime decides what to run.

    That is the ones of shapes, and scales of one, which it leaves out.
    """
    most = max(math.prod(weight.shape) for weight in graph.weights) + _APART * len(graph.weights)
    numbers = _numbers(1 << most.bit_length(), np.dtype(precision.dtype))
    return replace(
        graph,
        weights=tuple(
            weight
            if weight.dtype != numbers.dtype or weight.name.startswith(ONES)
            else _with(weight, numbers[_APART * place :])
            for place, weight in enumerate(graph.weights)
        ),
    )


def _with(weight: Weight, numbers: NDArray[Any]) -> Weight:
    return replace(weight, make=lambda: numbers[: math.prod(weight.shape)].reshape(weight.shape))
