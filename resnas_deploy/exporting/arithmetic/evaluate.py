"""Computes a graph in its own type: what it will be wherever that type is computed in, whatever runs it here.

Runtimes widen: ONNX Runtime's CPU provider computes an fp16 graph in float32, where attention's scores of 358,956 are
nothing special; fp16 ends at 65,504. Here every operator's result is rounded to its type (`compute`), and the largest
one of each element of the network is kept.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import NodeProto, inliner
from torch import Tensor

from resnas_deploy.arch.elements import INPUT, OUTPUT, elements
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.headroom import Peak
from resnas_deploy.artifact.ort_operators import DOMAIN
from resnas_deploy.artifact.ort_operators import OPERATORS as ORT_OPERATORS
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.arithmetic.call import Call, Rounding, dtype_of, tensor_of
from resnas_deploy.exporting.arithmetic.compute import COMPUTING
from resnas_deploy.exporting.arithmetic.move import MOVING
from resnas_deploy.precision import Precision
from resnas_deploy.runners.base import Images
from resnas_deploy.runners.profiling import element_operation
from resnas_deploy.runners.torch_settings import torch_threads

_OPERATORS = {**COMPUTING, **MOVING}
_PIXELS = 4 * 224 * 224  # at once, which bounds the memory of attention's scores
_LITTLE = 50_000  # pixels at once, for which threads wait for each other longer than they compute
_CHANNELS = 3
_LONGEST = 150  # characters of a name
_COPY = re.compile(r"__\d+$")  # what the inliner adds to the names in a function's body


@dataclass(frozen=True)
class ComputedGraph:
    """What the graph computes in its own type."""

    logits: NDArray[np.float32]  # (B, classes)
    outputs: Mapping[str, NDArray[np.float32]]  # those values by name that were asked for
    peaks: Mapping[str, Peak]  # of each element, in the order of computation


@dataclass
class _Peaks:
    """The largest magnitude of each element, among values of the graph's type, and all that is not finite."""

    known: Sequence[str]  # elements
    dtype: torch.dtype
    found: dict[str, Peak] = field(default_factory=dict)

    def note(self, element: str, operator: str, magnitude: float, dtype: torch.dtype) -> None:
        if dtype != self.dtype and math.isfinite(magnitude):
            return
        largest = torch.finfo(self.dtype).max
        peak = Peak(magnitude if math.isfinite(magnitude) else None, operator)
        before = self.found[element].share(largest) if element in self.found else -1.0
        if before <= 1 and peak.share(largest) > before:  # what first left the range is kept, not what follows from it
            self.found[element] = peak

    def in_order(self) -> dict[str, Peak]:
        return {name: self.found[name] for name in self.known if name in self.found}


class Graph:
    """A graph, ready to be computed in its own type. Raises `BadInput` for an operator that is not known here."""

    def __init__(self, path: Path, arch: ArchSpec, precision: Precision) -> None:
        try:
            graph = inliner.inline_local_functions(onnx.load(path)).graph
            # Copies, since a part of a message keeps all of it in memory, weights included.
            self._nodes = [NodeProto.FromString(node.SerializeToString()) for node in graph.node]
            self._constants = {tensor.name: tensor_of(tensor) for tensor in graph.initializer}
        except BadInput:
            raise
        except Exception as error:  # of onnx and of protobuf
            raise BadInput(f"{path} must be a whole graph, found: {_one_line(error)}; export it again") from error
        _check_names(self._nodes)
        self._elements = [element.name for element in elements(arch)]
        self._dtype = dtype_of(precision.onnx)
        self._element_of = list(self._attributed())
        for node in self._nodes:  # before any is computed
            if node.op_type not in _OPERATORS or node.domain not in _domains(node.op_type):
                raise BadInput(
                    "the graph's own arithmetic must be known of every operator, found "
                    f"{node.domain or 'ai.onnx'}::{node.op_type} at {node.name}; export the artifact again"
                )

    def evaluate(self, images: Images, keep: Collection[str] = ()) -> ComputedGraph:
        """Compute the logits of images, as the graph takes them, of any number, and the values named in `keep`."""
        peaks, parts = _Peaks(self._elements, self._dtype), list[dict[str, Tensor]]()
        pixels = images[0].size // _CHANNELS
        at_once = max(1, _PIXELS // pixels)
        wanted = {OUTPUT, *keep}
        with torch.inference_mode(), _threads_for(min(at_once, len(images)) * pixels):
            for start in range(0, len(images), at_once):
                parts.append(self._run(torch.from_numpy(images[start : start + at_once]), wanted, peaks))
        if missing := wanted - parts[0].keys():
            raise BadInput(f"the graph must have a value {min(missing)}, found none; export the artifact again")
        whole = {name: torch.cat([part[name] for part in parts]).float().numpy() for name in wanted}
        return ComputedGraph(whole[OUTPUT], {name: whole[name] for name in keep}, peaks.in_order())

    def _run(self, images: Tensor, wanted: Collection[str], peaks: _Peaks) -> dict[str, Tensor]:
        values = {INPUT: images, **self._constants}
        readers = Counter(name for node in self._nodes for name in node.input if name)
        for node, element in zip(self._nodes, self._element_of, strict=True):
            missing = [name for name in node.input if name and name not in values]
            if missing:
                raise BadInput(f"the graph must compute what its nodes read, found {missing[0]} of {node.name} nowhere")
            call = Call(node, [values[name] if name else None for name in node.input], _rounding(node, element, peaks))
            try:
                found = _OPERATORS[node.op_type](call)
                values.update(zip(node.output, [found] if isinstance(found, Tensor) else found, strict=True))
            except BadInput:
                raise
            except Exception as error:  # of torch, for shapes that do not fit
                raise call.refuse(f"that cannot be computed ({_one_line(error)})") from error
            call.finish()
            for name in filter(None, node.input):  # let go of what nobody reads any more
                readers[name] -= 1
                if not readers[name] and name not in wanted:
                    del values[name]
        return {name: values[name] for name in wanted if name in values}

    def _attributed(self) -> Iterator[str]:
        """Return the element of each node; what has no element's name belongs to that of the node before."""
        before = self._elements[0]
        for node in self._nodes:
            operation = element_operation(node.name) or ""
            found = (name for name in self._elements if re.match(rf"{re.escape(name)}(?![A-Za-z0-9])", operation))
            before = next(found, before)
            yield before


def _domains(operator: str) -> tuple[str, ...]:
    return (DOMAIN,) if operator in ORT_OPERATORS else ("", "ai.onnx")


def _check_names(nodes: Sequence[NodeProto]) -> None:
    """Raise `BadInput` where a name is none of ours: protobuf gives what is no UTF-8 as bytes."""
    for node in nodes:
        attributes = (attribute.name for attribute in node.attribute)
        for name in (node.name, node.op_type, node.domain, *node.input, *node.output, *attributes):
            if not isinstance(name, str) or not name.isprintable() or len(name) > _LONGEST:
                raise BadInput(
                    f"the graph's names must be printable text of at most {_LONGEST} characters, "
                    f"found {ascii(name)[:60]}; export the artifact again"
                )


@contextmanager
def _threads_for(pixels: int) -> Iterator[None]:
    """Take one thread for little work, else as many as torch was told to take."""
    with torch_threads(1 if pixels < _LITTLE else torch.get_num_threads()):
        yield


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _rounding(node: NodeProto, element: str, peaks: _Peaks) -> Rounding:
    name = _COPY.sub("", node.name or node.output[0])

    def rounded(values: Tensor, dtype: torch.dtype, part: str = "", *, saturates: bool = False) -> Tensor:
        if values.numel():
            low, high = values.aminmax()
            magnitude = float(torch.maximum(-low, high))
            if not (saturates and math.isfinite(magnitude)):
                operator = f"{name}.{part}" if part else name
                peaks.note(element, f"{operator} ({node.op_type})", magnitude, dtype)
        return values.to(dtype)

    return rounded
