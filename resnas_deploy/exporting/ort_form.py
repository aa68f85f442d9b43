"""A QDQ graph in the operators of ONNX Runtime's own that it is fastest with.

    MatMul(DequantizeLinear(A, a, z), DequantizeLinear(W, w, 0)) + bias
        = MatMulIntegerToFloat(A, W, a, w, z, none, bias)

ONNX Runtime makes this product of the pairs itself, so that the logits are the same. But it leaves the bias outside,
where BiasGeluFusion joins it to GELU in a slow kernel, and it gives the product the zero points of the weights, all
zero, which are then multiplied out. Patterns alone count, no names, so that any QDQ graph may come in. What it does not
know stays as it is: inputs with a default are no constants, and who reads a value inside of an If is not looked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from resnas_deploy.artifact.ort_operators import DOMAIN, PRODUCT

_VERSION = 1  # of the operators of that domain
_INTEGERS = (TensorProto.UINT8, TensorProto.INT8)
_GRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def for_onnxruntime(model: ModelProto) -> ModelProto:
    """Return the same graph with products of quantised values and weights in ONNX Runtime's own operator."""
    if has_graphs_inside(model):
        return model
    found = _Graph.of(model)
    written: dict[int, NodeProto] = {}  # by the place of the node that it stands for
    left_out = set[int]()
    for place, node in enumerate(model.graph.node):
        if product := found.product(node):
            bias = found.bias_of(node)
            written[place] = _written(node, product, bias)
            left_out.update([bias.place] if bias else [])
    if not written:
        return model
    nodes = [written.get(place, node) for place, node in enumerate(model.graph.node) if place not in left_out]
    return _with_nodes(model, _alive(nodes, found.outputs))


def has_graphs_inside(model: ModelProto) -> bool:
    """Tell whether a node, as an If, has a graph, in which values may be read that nothing outside reads."""
    return any(attribute.type in _GRAPHS for node in model.graph.node for attribute in node.attribute)


@dataclass(frozen=True)
class _Product:
    """The DequantizeLinear nodes of a product's two sides, and whether the weights have zero points that count."""

    left: NodeProto
    right: NodeProto
    zeros: bool


@dataclass(frozen=True)
class _Bias:
    """The addition after a product: its place among the nodes, the constant, and the result."""

    place: int
    constant: str
    result: str


@dataclass(frozen=True)
class _Graph:
    """A graph's nodes by what they write and read."""

    constants: Mapping[str, TensorProto]
    writers: Mapping[str, NodeProto]
    readers: Mapping[str, list[tuple[int, NodeProto]]]
    outputs: frozenset[str]

    @staticmethod
    def of(model: ModelProto) -> _Graph:
        graph, readers = model.graph, defaultdict(list)
        for place, node in enumerate(graph.node):
            for name in dict.fromkeys(node.input):
                readers[name].append((place, node))
        given = {value.name for value in graph.input}  # an initialiser of such a name is its default
        return _Graph(
            {tensor.name: tensor for tensor in graph.initializer if tensor.name not in given},
            {name: node for node in graph.node for name in node.output},
            readers,
            frozenset(value.name for value in graph.output),
        )

    def product(self, node: NodeProto) -> _Product | None:
        """Return what a node multiplies, where it is a product of quantised values with quantised weights."""
        if node.op_type != "MatMul" or node.domain:
            return None
        left, right = (self._dequantised(name) for name in node.input)
        if not left or not right or right.input[0] not in self.constants:
            return None
        weights = self.constants[right.input[0]]
        columns = weights.dims[-1]
        by_column = list(self.constants[right.input[1]].dims) == [columns] and _axis(right) in (1, -1)
        if len(weights.dims) != 2 or weights.data_type != TensorProto.INT8:
            return None
        if not (by_column or self._is_one(right.input[1])) or not self._is_one(left.input[1]):
            return None
        return _Product(left, right, bool(numpy_helper.to_array(self.constants[right.input[2]]).any()))

    def _is_one(self, constant: str) -> bool:
        return list(self.constants[constant].dims) in ([], [1])

    def _dequantised(self, name: str) -> NodeProto | None:
        """Return the node that a value comes from, where it is a DequantizeLinear with constants, to float32."""
        node = self.writers.get(name)
        if node is None or node.op_type != "DequantizeLinear" or node.domain or len(node.input) != 3:
            return None
        scale, zero = (self.constants.get(each) for each in node.input[1:])
        if scale is None or zero is None or any(item.name != "axis" for item in node.attribute):
            return None
        if name in self.outputs or list(scale.dims) != list(zero.dims):
            return None
        return node if scale.data_type == TensorProto.FLOAT and zero.data_type in _INTEGERS else None

    def bias_of(self, node: NodeProto) -> _Bias | None:
        """Return the bias that is added to a product and to nothing else, where there is one."""
        (result,) = node.output
        if result in self.outputs or len(self.readers[result]) != 1:
            return None
        ((place, after),) = self.readers[result]
        if after.op_type != "Add" or after.domain:
            return None
        others = [name for name in after.input if name != result]
        tensor = self.constants.get(others[0]) if others else None
        columns = self.constants[self.writers[node.input[1]].input[0]].dims[-1]
        if tensor is None or list(tensor.dims) != [columns] or tensor.data_type != TensorProto.FLOAT:
            return None
        return _Bias(place, tensor.name, after.output[0])


def _written(node: NodeProto, product: _Product, bias: _Bias | None) -> NodeProto:
    left, right = product.left.input, product.right.input
    inputs = [left[0], right[0], left[1], right[1], left[2], right[2] if product.zeros else ""]
    inputs += [bias.constant] if bias else []
    return helper.make_node(PRODUCT, inputs, [bias.result if bias else node.output[0]], node.name, domain=DOMAIN)


def _axis(node: NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)


def _alive(nodes: list[NodeProto], outputs: frozenset[str]) -> list[NodeProto]:
    """Return the nodes whose results are still read, in their order."""
    wanted, kept = set(outputs), list[NodeProto]()
    for node in reversed(nodes):  # which are in the order of computation
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def _with_nodes(model: ModelProto, nodes: list[NodeProto]) -> ModelProto:
    """Return the model with these nodes and the constants that they read."""
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    read = set(_inputs(copies))
    found = ModelProto()
    found.CopyFrom(model)
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del found.graph.node[:], found.graph.initializer[:], found.graph.value_info[:]
    found.graph.node.extend(copies)
    found.graph.initializer.extend(kept)
    if DOMAIN not in {item.domain for item in found.opset_import} and any(node.domain == DOMAIN for node in copies):
        found.opset_import.append(helper.make_opsetid(DOMAIN, _VERSION))
    return found


def _inputs(nodes: list[NodeProto]) -> Iterator[str]:
    return (name for node in nodes for name in node.input)
