"""A QDQ graph in the form that OpenVINO's CPU plugin is fastest with: ONNX's own operators, and the same function.

- Products of two activations, attention's: symmetric int8 but for a left side without a zero point, for OpenVINO's
  MatMul in int8 takes zero points of neither (openvinotoolkit/openvino,
  src/common/low_precision_transformations/src/mat_mul.cpp). Its MHA kernel then has both inside
  (src/common/snippets/src/pass/mha_tokenization.cpp).
- Zero points of what products with weights read: `x W + b = s q W + (b - s z sum(W))`, so that they are in the bias.
- A pair behind operators that only move data comes before them: what computed the values then writes them rounded, and
  a quarter of the bytes is moved.
- No pair between a convolution and ReLU, which are one kernel there.

Patterns alone count, no names, so that any QDQ graph may come in. What it does not know stays as it is: inputs with a
default are no constants, and who reads a value inside of an If is not looked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper

from resnas_deploy.exporting.ort_form import has_graphs_inside

_MOVING = ("Reshape", "Transpose")
_QUANTISE, _DEQUANTISE = "QuantizeLinear", "DequantizeLinear"
_LARGEST = {np.dtype(np.int8): 127, np.dtype(np.uint8): 255}


def for_openvino(model: ModelProto) -> ModelProto:
    """Return the same graph in OpenVINO's form."""
    if has_graphs_inside(model):
        return model
    found = ModelProto()
    found.CopyFrom(model)
    del found.graph.value_info[:]
    for change in (_symmetric_products, _zeros_into_biases, _pairs_before_moves, _no_pairs_before_relu):
        change(_Graph(found))
    return found


@dataclass(frozen=True)
class _Pair:
    """A QuantizeLinear and the DequantizeLinear that alone reads it, of one scale."""

    quantise: NodeProto
    dequantise: NodeProto

    @property
    def taken(self) -> str:
        """The value that is quantised."""
        return self.quantise.input[0]

    @property
    def given(self) -> str:
        """The value that is read."""
        return self.dequantise.output[0]


class _Graph:
    """A graph's nodes by what they write and read, as it was when this was made; constants can be added."""

    def __init__(self, model: ModelProto) -> None:
        self.graph = model.graph
        self.nodes: Sequence[NodeProto] = list(model.graph.node)
        given = {value.name for value in model.graph.input}  # an initialiser of such a name is its default
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name not in given}
        self._outputs = {value.name for value in model.graph.output}
        self.writers = {name: node for node in self.nodes for name in node.output}
        self._readers = defaultdict[str, list[NodeProto]](list)
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self._readers[name].append(node)

    def readers(self, name: str) -> list[NodeProto]:
        """Return who reads a value; nobody where it is an output of the graph, which may not change."""
        return [] if name in self._outputs else self._readers[name]

    def only_reader(self, name: str) -> NodeProto | None:
        """Return the one node that reads a value, if one does."""
        found = self.readers(name)
        return found[0] if len(found) == 1 else None

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return a constant's value."""
        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def add(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant, or find the one that was added."""
        if name not in self._constants:
            self.graph.initializer.append(numpy_helper.from_array(value, name))
            self._constants[name] = self.graph.initializer[-1]
        return name

    def zero(self, dtype: np.dtype[Any]) -> str:
        """Add a zero point of zero."""
        return self.add(f"zero.{dtype}", np.array(0, dtype))

    def pairs(self) -> list[_Pair]:
        """Return all pairs of activations."""
        return [pair for node in self.nodes for name in node.output if (pair := self.pair(name))]

    def pair(self, name: str) -> _Pair | None:
        """Return the pair that a value comes from."""
        after = self.writers.get(name)
        before = self.writers.get(after.input[0]) if after is not None and after.op_type == _DEQUANTISE else None
        if after is None or before is None or before.op_type != _QUANTISE or self.only_reader(before.output[0]) is None:
            return None
        whole = len(after.input) == len(before.input) == 3 and after.input[1] == before.input[1]
        constants = [self.constant(name) for name in after.input[1:]] if whole else []
        known = all(each is not None and each.size == 1 for each in constants)
        return _Pair(before, after) if constants and known else None

    def step(self, pair: _Pair) -> tuple[float, int, np.dtype[Any]]:
        """Return a pair's scale, its zero point, and the type of both its ends."""
        scale, zero = (numpy_helper.to_array(self._constants[name]) for name in pair.dequantise.input[1:])
        return float(scale.reshape(())), int(zero.reshape(())), zero.dtype

    def weights(self, name: str) -> NDArray[np.float64] | None:
        """Return what weights, `(in, out)`, come to in sums over `in`, where a value is that: `(out,)`."""
        node = self.writers.get(name)
        if node is None or node.op_type != _DEQUANTISE or len(node.input) != 3:
            return None
        stored, scales, zeros = (self.constant(each) for each in node.input)
        if stored is None or scales is None or zeros is None or stored.ndim != 2 or zeros.any():
            return None
        axis = next((item.i for item in node.attribute if item.name == "axis"), 1)
        if scales.size != 1 and (axis not in (1, -1) or scales.shape != stored.shape[1:]):
            return None
        sums: NDArray[np.float64] = stored.astype(np.float64).sum(0) * scales.astype(np.float64).reshape(-1)
        return sums

    def put(self, nodes: Iterable[NodeProto]) -> None:
        """Put these nodes in place of all."""
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self.graph.node[:]
        self.graph.node.extend(copies)


def _symmetric_products(graph: _Graph) -> None:
    for node in graph.nodes:
        pairs = [graph.pair(name) for name in node.input] if node.op_type == "MatMul" else []
        left, right = pairs if len(pairs) == 2 else (None, None)
        if not left or not right:
            continue
        for pair in (left, right):
            scale, zero, dtype = graph.step(pair)
            if dtype != np.uint8 or (pair is left and not zero) or graph.only_reader(pair.given) != node:
                continue
            largest = scale * max(zero, _LARGEST[dtype] - zero)
            step = np.array(largest / _LARGEST[np.dtype(np.int8)], np.float32)
            for half in (pair.quantise, pair.dequantise):
                half.input[1] = graph.add(f"{pair.given}.symmetric_scale", step)
                half.input[2] = graph.zero(np.dtype(np.int8))


def _zeros_into_biases(graph: _Graph) -> None:
    after: dict[str, NodeProto] = {}  # additions that are new, by what they read
    for pair in graph.pairs():
        scale, zero, dtype = graph.step(pair)
        if not zero or not (products := _products_of(graph, pair.given)):
            continue
        for product, sums in products:
            (result,) = product.output
            adding = graph.only_reader(result)
            bias, number = _bias(graph, adding, result)
            shift = -scale * zero * sums
            if adding is not None and bias is not None and bias.shape == shift.shape:
                name = f"{result}.shifted"  # and not the bias's: products may share one
                adding.input[number] = graph.add(name, (bias + shift).astype(np.float32))
            else:
                plain = product.output[0] = f"{result}.unshifted"
                shifts = graph.add(f"{result}.shift", shift.astype(np.float32))
                after[plain] = helper.make_node("Add", [plain, shifts], [result], f"{result}.shift_add")
        pair.dequantise.input[2] = graph.zero(dtype)
    graph.put(each for node in graph.nodes for each in (node, after.get(node.output[0])) if each is not None)


def _bias(graph: _Graph, node: NodeProto | None, result: str) -> tuple[NDArray[Any] | None, int]:
    """Return the constant that a node adds to a result, and which input it is."""
    if node is None or node.op_type != "Add":
        return None, 0
    number = next((number for number, name in enumerate(node.input) if name != result), 0)
    found = graph.constant(node.input[number])
    return (found if found is not None and found.dtype == np.float32 else None), number


def _products_of(graph: _Graph, name: str) -> list[tuple[NodeProto, NDArray[np.float64]]]:
    """Return the products with weights that read a value, moved or not, with sums; none where anything else does."""
    found = []
    for node in graph.readers(name):
        if node.op_type in _MOVING and node.input[0] == name:
            more = _products_of(graph, node.output[0])
        else:
            sums = graph.weights(node.input[1]) if node.op_type == "MatMul" and node.input[0] == name else None
            more = [(node, sums)] if sums is not None else []
        if not more:
            return []
        found += more
    return found


def _pairs_before_moves(graph: _Graph) -> None:
    before, moved = defaultdict[str, list[NodeProto]](list), set[str]()
    for pair in graph.pairs():
        chain, value = list[NodeProto](), pair.taken
        while (node := graph.writers.get(value)) is not None and node.op_type in _MOVING and graph.only_reader(value):
            chain.insert(0, node)
            value = node.input[0]
        if not chain:
            continue
        given = pair.given
        pair.quantise.input[0], pair.dequantise.output[0] = value, f"{given}.unmoved"
        chain[0].input[0], chain[-1].output[0] = pair.given, given
        before[chain[0].output[0]] += [pair.quantise, pair.dequantise]
        moved.update((*pair.quantise.output, *pair.dequantise.output))
    graph.put(
        each for node in graph.nodes if node.output[0] not in moved for each in (*before.get(node.output[0], ()), node)
    )


def _no_pairs_before_relu(graph: _Graph) -> None:
    gone = set[str]()
    for pair in graph.pairs():
        made, reader = graph.writers.get(pair.taken), graph.only_reader(pair.given)
        if made is not None and made.op_type == "Conv" and reader is not None and reader.op_type == "Relu":
            reader.input[0] = pair.taken
            gone.update((*pair.quantise.output, pair.given))
    graph.put(node for node in graph.nodes if node.output[0] not in gone)
