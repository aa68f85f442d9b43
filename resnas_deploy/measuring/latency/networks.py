"""Networks that exist to be timed: emitted into a temporary folder from random weights.

A quantised one is the graph that an export writes, but that its steps are made up and no image was looked at: they are
numbers in the graph, and products take the same time whatever they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.graph.emit import emit
from resnas_deploy.precision import QUANTISED, precision_named
from resnas_deploy.weights.checkpoint import Checkpoint, untrained

if TYPE_CHECKING:
    import torch


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
    """Write the network of these weights to `folder`. Its batch is dynamic, as that of an export is by default.

    Raise `NotAvailable` for a quantised one where the quantiser is not installed.
    """
    range_ = USUAL.extended_to(batch)
    path = folder / f"{weights.arch.fingerprint}.onnx"
    if precision not in QUANTISED:
        emit(weights, precision_named(precision), range_).write(path)
        return UntrainedNetwork(weights.arch, precision, range_, path)
    from resnas_deploy.exporting.quantise import check_quantiser, quantise, scheme_for  # imports onnx

    check_quantiser()
    scheme = scheme_for(precision, engine=False)
    emit(weights, precision_named(scheme.around), range_).write(path)
    quantise(path, None, scheme)
    return UntrainedNetwork(weights.arch, precision, range_, path)
