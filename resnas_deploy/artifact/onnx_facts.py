"""What an ONNX graph of anybody's tells of itself: its precision, its weights, its operators, and what it computes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from onnx import ModelProto, NodeProto, TensorProto, inliner

from resnas_deploy.artifact.graph import dims_of
from resnas_deploy.artifact.onnx_ends import type_name, with_shapes
from resnas_deploy.artifact.onnx_light import without_weights
from resnas_deploy.artifact.onnx_reading import constants_of, graphs_in, nodes_of
from resnas_deploy.artifact.onnx_told import Ends, Facts
from resnas_deploy.errors import BadInput

_FLOATS: Mapping[int, str] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.BFLOAT16: "bf16"}
_FP8 = {kind for name, kind in TensorProto.DataType.items() if name.startswith("FLOAT8")}
_SHORT = {kind for name, kind in TensorProto.DataType.items() if name in ("INT8", "UINT8", "INT4", "UINT4")} | _FP8
# Operators that quantise activations, of ONNX and of ONNX Runtime's own domain.
_QUANTISING = {
    *("QuantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearConv", "QLinearMatMul"),
    *("MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QGemm", "QAttention"),
}
# Of operators that multiply and add: the numbers of the two inputs that are multiplied.
_CONVOLUTIONS = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3}
_PRODUCTS = {"MatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0, "Gemm": 0}
# ONNX's others that do, and that are not counted: then nothing is said of the whole.
_UNCOUNTED = {"ConvTranspose", "DeformConv", "Einsum", "LSTM", "GRU", "RNN", "DFT", "STFT"}
_DOMAINS = ("", "ai.onnx")


def facts_of(model: ModelProto, ends: Ends) -> Facts:
    """Return what a whole model tells of itself. Raise `BadInput` for weights of a type that no runner has."""
    weights = _weights(model)
    operators = Counter(_name(node) for node in nodes_of(model))
    return Facts(
        _precision(model, weights),
        {type_name(kind): count for kind, count in sorted(weights.items())},
        dict(sorted(operators.items())),
        tuple(sorted(f"{each.domain}.{each.name}".lstrip(".") for each in model.functions)),
        {entry.domain or "ai.onnx": entry.version for entry in model.opset_import},
        _macs(model, ends),
        any(ends.logits in node.output and node.op_type == "Softmax" for node in model.graph.node),
    )


def _name(node: NodeProto) -> str:
    return node.op_type if node.domain in _DOMAINS else f"{node.domain}.{node.op_type}"


def _weights(model: ModelProto) -> Counter[int]:
    """Count values by type. Integers of 32 and 64 bits are shapes and indices, and biases of quantised products."""
    found = Counter[int]()
    for tensor in constants_of(model):
        if tensor.data_type in _FLOATS or tensor.data_type in _SHORT or tensor.data_type == TensorProto.DOUBLE:
            found[tensor.data_type] += math.prod(tensor.dims)
    return found


def _precision(model: ModelProto, weights: Counter[int]) -> str:
    if any(node.op_type in _QUANTISING for node in nodes_of(model)):
        return "fp8" if _FP8 & weights.keys() else "int8"
    floats = Counter({kind: count for kind, count in weights.items() if kind not in _SHORT})
    (kind, _), *_ = floats.most_common(1) or [(TensorProto.FLOAT, 0)]
    if kind not in _FLOATS:
        raise BadInput("weights must be float32, float16 or bfloat16, found float64; export it in float32")
    return _FLOATS[kind]


def _macs(model: ModelProto, ends: Ends) -> int | None:
    """Count the multiply-accumulates of one image in convolutions, matrix products and attention."""
    if list(graphs_in(model.graph.node)):
        return None
    single = without_weights(model)
    for value in single.graph.input:
        if value.name == ends.input.name and ends.batch.least == 1:
            value.type.tensor_type.shape.dim[0].dim_value = 1
    for value in single.graph.output:  # as it follows from the input, whatever it was called
        for dim in value.type.tensor_type.shape.dim[:1]:
            dim.Clear()
    try:
        inferred = with_shapes(inliner.inline_local_functions(single))
    except Exception:  # noqa: BLE001  of onnx, in C++; the count is an extra
        return None
    shapes: dict[str, list[int | None]] = {tensor.name: list(tensor.dims) for tensor in inferred.graph.initializer}
    for each in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        shapes.setdefault(each.name, dims_of(each))
    total = 0
    for count in (_of_node(node, shapes) for node in inferred.graph.node):
        if count is None:
            return None
        total += count
    return total // ends.batch.least


def _of_node(node: NodeProto, shapes: Mapping[str, list[int | None]]) -> int | None:
    if node.domain not in _DOMAINS or node.op_type in _UNCOUNTED:
        return None
    if node.op_type in _CONVOLUTIONS:
        kernel = _values(shapes, node.input[_CONVOLUTIONS[node.op_type]])
        return _product(_values(shapes, node.output[0]), kernel and kernel[1:])
    if node.op_type in _PRODUCTS:
        first = _values(shapes, node.input[_PRODUCTS[node.op_type]])
        transposed = any(each.name == "transA" and each.i for each in node.attribute)
        return _product(_values(shapes, node.output[0]), first and first[:1] if transposed else first and first[-1:])
    if node.op_type == "Attention":
        query, key = (_values(shapes, name) for name in node.input[:2])
        mixed = _values(shapes, node.output[0])
        if not (query and key and mixed):
            return None
        return key[-2] * (math.prod(query) + math.prod(mixed))  # of each query with each key, and of the values' sum
    return 0


def _product(first: list[int] | None, second: list[int] | None) -> int | None:
    return math.prod(first) * math.prod(second) if first is not None and second is not None else None


def _values(shapes: Mapping[str, list[int | None]], name: str) -> list[int] | None:
    """Return a shape; None where it is not known whole."""
    found = shapes.get(name)
    return None if found is None or None in found else [dim for dim in found if dim is not None]
