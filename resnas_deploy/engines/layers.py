"""Reads the list of layers that TensorRT's builder writes to its verbose log, with detailed profiling verbosity.

It is the only account of a built engine to be had without a GPU: loading one, to ask the engine inspector, needs one.
The format is the builder's own (`Name: .., LayerType: .., Inputs: [ {..} ], .., Metadata: [ONNX Layer: ..]`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.precision import PRECISIONS

_START = "Layers:"
_LAYER = re.compile(r"Name: (?P<name>.*?), LayerType: (?P<kind>[^,]*), (?P<rest>Inputs: .*)")
_TENSOR = re.compile(
    r"Name: (?P<name>[^,{}]*), Dimensions: \[(?P<dims>[^\]]*)\][^{}]*?Datatype: (?P<type>[A-Za-z0-9 ]+)"
)
_NODE = re.compile(r"\[ONNX Layer: (.*?)\]")
_PROFILE = re.compile(r" \[profile \d+\]$")  # what the builder adds to a tensor's name for profiles after the first
_INLINED = re.compile(r"__\d+$")  # what onnx's inliner adds to the name of a function's node
_TYPES = {known.tensorrt: known.name for known in PRECISIONS.values()} | {
    name: name.lower() for name in ("Int32", "Int64", "Bool")
}


@dataclass(frozen=True)
class Tensor:
    """A tensor between layers. `precision` is `fp16`, `int8`, .., or the builder's word for a type not known here."""

    name: str
    dims: tuple[int, ...]
    precision: str


@dataclass(frozen=True)
class Layer:
    """A layer of an engine: a kernel, or work of the host on shapes."""

    name: str
    kind: str  # the builder's: gemm, kgen, correlation, runtime_fusion, ..
    inputs: tuple[Tensor, ...]
    constants: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    nodes: tuple[str, ...]  # of the graph, that went into it

    @property
    def is_kernel(self) -> bool:
        """Whether it runs on the GPU: what only computes shapes has no output, or one of 64-bit integers."""
        return any(tensor.precision != "int64" for tensor in self.outputs)


def parse_layers(log: str) -> tuple[Layer, ...]:
    """Parse the layers of the engine built last, of all profiles. Raise `BadInput` where no whole list is there."""
    return tuple(_layers(log.splitlines()))


def _layers(lines: Sequence[str]) -> Iterator[Layer]:
    starts = [number for number, line in enumerate(lines) if line.endswith(_START)]
    if not starts:
        raise BadInput(f"a builder's log must have a list of layers after {shown(_START)}, found none; is it verbose?")
    for line in lines[starts[-1] + 1 :]:
        if not line:
            return
        match = _LAYER.match(line)
        if not match:
            raise BadInput(f"a layer in a builder's log must have a name, a type and inputs, found {shown(line)}")
        inputs, constants, outputs = _sections(match["rest"])
        nodes = tuple(dict.fromkeys(_node(found) for found in _NODE.findall(match["rest"])))
        yield Layer(match["name"], match["kind"], _tensors(inputs), _tensors(constants), _tensors(outputs), nodes)
    raise BadInput("the list of layers in a builder's log must end with an empty line, found the end of the log")


def _sections(rest: str) -> tuple[str, str, str]:
    """Return the texts of a layer's inputs, constants and outputs."""
    before, _, after = rest.partition(", Outputs: ")
    inputs, _, constants = before.partition(", Constants: ")
    return inputs, constants, after.partition(", TacticName: ")[0]


def _tensors(text: str) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            _PROFILE.sub("", found["name"]),
            _dims(found["dims"]),
            _TYPES.get(found["type"].strip(), found["type"].strip()),
        )
        for found in _TENSOR.finditer(text)
    )


def _dims(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(dim) for dim in text.split(",") if dim.strip())
    except ValueError:
        raise BadInput(f"dimensions in a builder's log must be whole numbers, found {shown(text)}") from None


def _node(name: str) -> str:
    """Return the graph's name of a node, without what importing a function adds to it."""
    return _INLINED.sub("", name.partition(" | ")[0])
