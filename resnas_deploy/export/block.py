"""Emits a transformer block.

Spelling: q, k and v as three linears into the `Attention` operator on `(B, T, C)`. The graph then moves no data at all,
and the biases of k and v fold away where they stand alone. Of the spellings tried it was the fastest on ONNX Runtime
and level with the best on OpenVINO (docs/graph.md).
"""

from __future__ import annotations

from collections.abc import Mapping

from resnas_deploy.elements import BlockElement
from resnas_deploy.checkpoint import Array
from resnas_deploy.export import fold
from resnas_deploy.export.builder import GraphBuilder


SPELLING = {
    "attention": "three linears and the Attention operator on (B, T, C)",
    "last block": "keys and values of all tokens, the rest of the class token alone",
    "pooling": "mean of two rows, then of two columns, over views of the tokens",
}


def emit_block(graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float) -> str:
    """`(B, T, C)` to `(B, T, C)`; of the network's last block, whose other tokens nobody reads, to `(B, 1, C)`.

    The last block computes keys and values of all tokens, and all else of the class token alone: the same logits.
    `epsilon` is that of both norms.
    """
    name = element.name
    attended = _attention(graph, element, tensors, x, epsilon)
    if element.last:
        x = graph.class_token(x, f"{name}.class_token")
    x = graph.node("Add", [x, attended], f"{name}.attention.add")
    return graph.node("Add", [x, _mlp(graph, element, tensors, x, epsilon)], f"{name}.mlp.add", output=name)


def _attention(graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float) -> str:
    name, width, block = f"{element.name}.attention", element.width, element.block
    inner, shape = block.inner, (block.inner, element.width)
    qkv, scale, shift = tensors["attention.qkv.weight"], tensors["norm1.weight"], tensors["norm1.bias"]
    projection = tensors["attention.projection.weight"]
    bias = fold.norm_shift_into_bias(qkv, tensors["attention.qkv.bias"], shift)
    query_bias, value_bias = fold.without_key_bias(bias)

    def query_weight() -> Array:
        return fold.attention_scale_into_query(fold.norm_scale_into_linear(qkv[:inner], scale), block.head_dim)

    def key_weight() -> Array:
        return fold.norm_scale_into_linear(qkv[inner : 2 * inner], scale)

    def value_weight() -> Array:
        return fold.norm_scale_into_linear(qkv[2 * inner :], scale)

    normed = graph.normalise(x, f"{element.name}.norm1", width, epsilon)
    asking = graph.class_token(normed, f"{name}.class_token") if element.last else normed
    query = graph.linear(asking, f"{name}.query", shape, query_weight)
    query = graph.add_bias(
        query, f"{name}.query", inner, lambda: fold.attention_scale_into_query(query_bias, block.head_dim)
    )
    key = graph.linear(normed, f"{name}.key", shape, key_weight)
    value = graph.linear(normed, f"{name}.value", shape, value_weight)
    heads = block.heads
    x = graph.node("Attention", [query, key, value], name, scale=1.0, q_num_heads=heads, kv_num_heads=heads)
    x = graph.linear(x, f"{name}.projection", (width, inner), lambda: projection)
    return graph.add_bias(
        x,
        f"{name}.projection",
        width,
        lambda: fold.value_bias_into_projection(projection, tensors["attention.projection.bias"], value_bias),
    )


def _mlp(graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float) -> str:
    name, width, hidden = f"{element.name}.mlp", element.width, element.block.hidden
    fc1, fc2, scale, shift = (
        tensors[part] for part in ("mlp.fc1.weight", "mlp.fc2.weight", "norm2.weight", "norm2.bias")
    )
    x = graph.normalise(x, f"{element.name}.norm2", width, epsilon)
    x = graph.linear(x, f"{name}.fc1", (hidden, width), lambda: fold.norm_scale_into_linear(fc1, scale))
    x = graph.add_bias(x, f"{name}.fc1", hidden, lambda: fold.norm_shift_into_bias(fc1, tensors["mlp.fc1.bias"], shift))
    x = graph.node("Gelu", [x], f"{name}.gelu")
    x = graph.linear(x, f"{name}.fc2", (width, hidden), lambda: fc2)
    return graph.add_bias(x, f"{name}.fc2", width, lambda: tensors["mlp.fc2.bias"])
