"""What the graph of a bare ONNX file tells of itself, as data: nothing here needs the package onnx."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnas_deploy.batch import BatchRange


@dataclass(frozen=True)
class Value:
    """An input or output: its name, its type, and its shape, a size that is not fixed by its name or as `?`."""

    name: str
    type: str
    shape: tuple[int | str, ...]

    def __str__(self) -> str:
        return f"{self.name}, {self.type} ({', '.join(map(str, self.shape))})"


@dataclass(frozen=True)
class Ends:
    """What a network takes and gives."""

    input: Value
    outputs: tuple[Value, ...]
    logits: str  # the name of the first output of two dimensions
    image_size: int
    batch: BatchRange
    classes: int | None  # None where the graph does not tell


@dataclass(frozen=True)
class Facts:
    """What the graph tells of itself."""

    precision: str  # by the type of most weights; int8 or fp8 where it quantises activations
    weights: Mapping[str, int]  # values by their type, small integers of shapes left out
    operators: Mapping[str, int]  # how many of each, of the graph and those inside; of another domain `DOMAIN.NAME`
    functions: tuple[str, ...]
    opsets: Mapping[str, int]
    macs: int | None  # of one image; None where an operator is not known, or a shape
    softmax: bool  # whether the logits come out of a Softmax, and so are probabilities

    @property
    def parameters(self) -> int:
        """Values in the graph's weights."""
        return sum(self.weights.values())
