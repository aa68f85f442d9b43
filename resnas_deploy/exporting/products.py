"""Attention written as two products around a softmax, so that a quantiser finds the products.

    Attention(q, k, v) = softmax(scale q k^T) v, for each head

The operator is that of opset 23 (https://onnx.ai/onnx/operators/onnx__Attention.html).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from resnas_deploy.graph.nodes import make_node

_ATTENTION, WINDOWS = "Attention", ".windows"
_KNOWN = {"scale", "q_num_heads", "kv_num_heads"}  # attributes; others change what it computes
_HEADS_FIRST, _TRANSPOSED = (0, 2, 1, 3), (0, 2, 3, 1)


def attentions(model: ModelProto) -> tuple[str, ...]:
    """Return the names of the nodes that can be written so: without a mask or a cache, of as many keys as values."""
    return tuple(node.name for node in model.graph.node if _is_plain(node))


def with_products(model: ModelProto, names: Collection[str]) -> ModelProto:
    """Return the model, whose functions are inlined, with those of these nodes that can be so written as products.

    Of a node `N` they are `N.scores`, `N.softmax` and `N.weighted`; what is between them scales or moves. The
    name of a block's attention stands for those of its windows too.
    """
    wanted = {name for name in attentions(model) if not {name, name.rpartition(WINDOWS)[0]}.isdisjoint(names)}
    if not wanted:
        return model
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    del model.graph.node[:]
    for node in nodes:
        model.graph.node.extend(_products(node, model.graph) if node.name in wanted else [node])
    return model


def _is_plain(node: NodeProto) -> bool:
    values = _attributes(node)
    return (
        (node.op_type, node.domain, len(node.output)) == (_ATTENTION, "", 1)
        and "scale" in values
        and _KNOWN.issuperset(values)
        and values.get("q_num_heads") == values.get("kv_num_heads")
        and len(list(filter(None, node.input))) == 3
    )


def _products(node: NodeProto, graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes. With heads as an attribute q, k and v are `(B, T, C)`, else `(B, heads, T, head_dim)`."""
    name, values = node.name, _attributes(node)
    query, key, value = filter(None, node.input)
    (out,) = node.output
    heads = values.get("q_num_heads")
    parts = {}
    for part, read, order in (
        ("query", query, _HEADS_FIRST),
        ("key", key, _TRANSPOSED),
        ("value", value, _HEADS_FIRST),
    ):
        moved, viewed = f"{name}.{part}.moved", f"{name}.{part}.heads"
        if heads:
            yield make_node("Reshape", [read, _constant(graph, [0, 0, heads, -1])], viewed, viewed)
            yield make_node("Transpose", [viewed], moved, moved, perm=order)
        elif part == "key":
            yield make_node("Transpose", [read], moved, moved, perm=(0, 1, 3, 2))
        parts[part] = moved if heads or part == "key" else read
    scores, softmax = f"{name}.scores", f"{name}.softmax"
    yield make_node("MatMul", [parts["query"], parts["key"]], scores, scores)
    if values["scale"] != 1:
        scaled = f"{name}.scaled"
        scale = _constant(graph, np.float32(values["scale"]))
        yield make_node("Mul", [scores, scale], scaled, scaled)
        scores = scaled
    yield make_node("Softmax", [scores], softmax, softmax, axis=-1)
    weighted, merged = f"{name}.weighted", f"{name}.merged"
    yield make_node("MatMul", [softmax, parts["value"]], weighted if heads else out, weighted)
    if heads:
        yield make_node("Transpose", [weighted], merged, merged, perm=_HEADS_FIRST)
        yield make_node("Reshape", [merged, _constant(graph, [0, 0, -1])], out, name)


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _constant(graph: GraphProto, value: list[int] | np.float32) -> str:
    """Return the name of a constant, which all share who want the same."""
    stored = np.asarray(value, np.int64 if isinstance(value, list) else np.float32)
    name = f"products.{stored.dtype}.{'_'.join(map(str, stored.reshape(-1)))}"
    if all(tensor.name != name for tensor in graph.initializer):
        graph.initializer.append(numpy_helper.from_array(stored, name))
    return name
