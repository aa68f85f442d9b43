"""Emits a transformer block: attention in either spelling, and the MLP.

Both spellings compute the last block's output of the class token alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from resnas_deploy.arch.elements import BlockElement
from resnas_deploy.graph import fold
from resnas_deploy.graph.nodes import GraphBuilder
from resnas_deploy.graph.spelling import GEMM, OPERATOR, PACKED, Spelling
from resnas_deploy.weights.checkpoint import Array

Emitter = Callable[[GraphBuilder, BlockElement, Mapping[str, Array], str, float], tuple[str, str]]


def emit_with_operator(
    graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float
) -> tuple[str, str]:
    """Emit q, k and v by a linear each into the `Attention` operator: no data is moved.

    The biases of k and v fold away where they stand alone. Takes the block's input `(B, T, C)`; returns what the
    attention's output is added to, and that output, both `(B, T, C)`, or `(B, 1, C)` of the last block. With Gemm both
    are rows of that, `(B * T, C)`.
    """
    name, width, block = f"{element.name}.attention", element.width, element.block
    inner, shape, tokens = block.inner, (block.inner, element.width), element.side**2 + 1
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

    if not element.last:
        x = graph.rows(x, element.name, width)
    normed = graph.normalise(x, f"{element.name}.norm1", width, epsilon)
    asking = normed
    if element.last:
        asking = graph.rows(graph.class_token(normed, f"{name}.class_token"), f"{name}.asking", width)
    query = graph.affine(
        asking,
        f"{name}.query",
        shape,
        query_weight,
        lambda: fold.attention_scale_into_query(query_bias, block.head_dim),
    )
    query = graph.tokens(query, f"{name}.query", 1 if element.last else tokens, inner)
    key = graph.linear(normed, f"{name}.key", shape, key_weight)
    value = graph.linear(normed, f"{name}.value", shape, value_weight)
    if not element.last:
        key, value = (
            graph.tokens(part, f"{name}.{what}", tokens, inner) for part, what in ((key, "key"), (value, "value"))
        )
    heads = block.heads
    out = graph.node("Attention", [query, key, value], name, scale=1.0, q_num_heads=heads, kv_num_heads=heads)
    out = graph.affine(
        graph.rows(out, name, inner),
        f"{name}.projection",
        (width, inner),
        lambda: projection,
        lambda: fold.value_bias_into_projection(projection, tensors["attention.projection.bias"], value_bias),
    )
    if element.last:
        x = graph.rows(graph.class_token(x, f"{element.name}.class_token"), element.name, width)
    return x, out


def emit_packed(
    graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float
) -> tuple[str, str]:
    """Emit one linear for q, k and v; its output viewed as `(B, T, 3, heads, head_dim)`, moved once and split.

    Takes and returns what `emit_with_operator` does. In the last block the class token is cut off before the norm and
    put back in front: a compiler then writes it in the norm's own kernel.
    """
    name, width, block = f"{element.name}.attention", element.width, element.block
    inner, heads, head_dim = block.inner, block.heads, block.head_dim
    qkv, projection = tensors["attention.qkv.weight"], tensors["attention.projection.weight"]
    bias = fold.norm_shift_into_bias(qkv, tensors["attention.qkv.bias"], tensors["norm1.bias"])
    query_bias, value_bias = fold.without_key_bias(bias)

    def weight() -> Array:
        scaled = fold.norm_scale_into_linear(qkv, tensors["norm1.weight"])
        scaled[:inner] = fold.attention_scale_into_query(scaled[:inner], head_dim)
        return scaled

    residual = x
    if element.last:
        residual = graph.class_token(x, f"{element.name}.class_token")
        x = graph.node(
            "Concat", [residual, graph.patches(x, f"{element.name}.patches")], f"{element.name}.tokens", axis=1
        )
    x = graph.normalise(x, f"{element.name}.norm1", width, epsilon)
    x = graph.linear(x, f"{name}.qkv", (3 * inner, width), weight)
    x = graph.add_bias(
        x,
        f"{name}.qkv",
        3 * inner,
        lambda: np.concatenate(
            [fold.attention_scale_into_query(query_bias, head_dim), np.zeros(2 * inner, np.float32)]
        ),
    )
    x = graph.node("Reshape", [x, graph.ints(0, 0, 3, heads, head_dim)], f"{name}.view")
    x = graph.node("Transpose", [x], f"{name}.moved", perm=[2, 0, 3, 1, 4])  # (3, B, heads, T, head_dim)
    parts = graph.split(x, f"{name}.split", ("query", "key", "value"), axis=0)
    query, key, value = (graph.node("Squeeze", [part, graph.ints(0)], f"{part}.squeezed") for part in parts)
    if element.last:
        query = graph.node("Slice", [query, graph.ints(0), graph.ints(1), graph.ints(2)], f"{name}.class_token")
    key = graph.node("Transpose", [key], f"{name}.key.transposed", perm=[0, 1, 3, 2])
    x = graph.node("MatMul", [query, key], f"{name}.scores")
    x = graph.node("Softmax", [x], f"{name}.softmax", axis=-1)
    x = graph.node("MatMul", [x, value], f"{name}.weighted")
    x = graph.node("Transpose", [x], f"{name}.merged", perm=[0, 2, 1, 3])
    x = graph.node("Reshape", [x, graph.ints(0, 0, inner)], name)
    x = graph.linear(x, f"{name}.projection", (width, inner), lambda: projection)
    x = graph.add_bias(
        x,
        f"{name}.projection",
        width,
        lambda: fold.value_bias_into_projection(projection, tensors["attention.projection.bias"], value_bias),
    )
    return residual, x


ATTENTION: Mapping[str, Emitter] = {OPERATOR: emit_with_operator, PACKED: emit_packed}


def emit_block(
    graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float, spelling: Spelling
) -> str:
    """Emit `(B, T, C)` to `(B, T, C)`; of the last block, whose other tokens nobody reads, to `(B, 1, C)`.

    The last block computes keys and values of all tokens, and all else of the class token alone: the same logits.
    `epsilon` is that of both norms.
    """
    name = element.name
    x, attended = ATTENTION[spelling.attention](graph, element, tensors, x, epsilon)
    x = graph.node("Add", [x, attended], f"{name}.attention.add")
    mlp = _mlp(graph, element, tensors, x, epsilon)
    if spelling.linears != GEMM:
        return graph.node("Add", [x, mlp], f"{name}.mlp.add", output=name)
    x = graph.node("Add", [x, mlp], f"{name}.mlp.add")
    return graph.tokens(x, name, 1 if element.last else element.side**2 + 1, element.width, output=name)


def _mlp(graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float) -> str:
    name, width, hidden = f"{element.name}.mlp", element.width, element.block.hidden
    fc1, fc2, scale, shift = (
        tensors[part] for part in ("mlp.fc1.weight", "mlp.fc2.weight", "norm2.weight", "norm2.bias")
    )
    x = graph.normalise(x, f"{element.name}.norm2", width, epsilon)
    x = graph.affine(
        x,
        f"{name}.fc1",
        (hidden, width),
        lambda: fold.norm_scale_into_linear(fc1, scale),
        lambda: fold.norm_shift_into_bias(fc1, tensors["mlp.fc1.bias"], shift),
    )
    x = graph.node("Gelu", [x], f"{name}.gelu")
    return graph.affine(x, f"{name}.fc2", (width, hidden), lambda: fc2, lambda: tensors["mlp.fc2.bias"])
