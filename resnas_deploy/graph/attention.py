"""Emits attention with any mixer, in either spelling, and the norm before it.

Both spellings compute the last block's output of the class token alone, which attends to all tokens in windows as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from resnas_deploy.arch.elements import BlockElement
from resnas_deploy.arch.mixer import POOLED, WINDOW, Region
from resnas_deploy.arch.spec import Block
from resnas_deploy.graph import fold
from resnas_deploy.graph.mixing import cut_windows, joined_windows, pooled_tokens, with_class_token
from resnas_deploy.graph.nodes import GraphBuilder
from resnas_deploy.graph.spelling import OPERATOR, PACKED
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
    sources, mixer, side = normed, element.mixer, element.side
    if mixer.kind == POOLED:
        if not element.last:
            sources = graph.tokens(sources, f"{name}.normed", tokens, width)
        sources = pooled_tokens(graph, sources, name, side, mixer.size, width)
        if not element.last:
            sources = graph.rows(sources, f"{name}.pooled", width)
    key = graph.linear(sources, f"{name}.key", shape, key_weight)
    value = graph.linear(sources, f"{name}.value", shape, value_weight)
    if not element.last:
        key, value = (
            graph.tokens(part, f"{name}.{what}", mixer.sources(side), inner)
            for part, what in ((key, "key"), (value, "value"))
        )
    if mixer.kind == WINDOW and not element.last:
        out = _windows_with_operator(graph, element, query, key, value, name)
    else:
        out = _operator(graph, element, query, key, value, name)
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


def _operator(graph: GraphBuilder, element: BlockElement, query: str, key: str, value: str, name: str) -> str:
    heads = element.block.heads
    return graph.node("Attention", [query, key, value], name, scale=1.0, q_num_heads=heads, kv_num_heads=heads)


def _windows_with_operator(
    graph: GraphBuilder, element: BlockElement, query: str, key: str, value: str, name: str
) -> str:
    """Emit one operator for the class token and one for the windows of each region, which are a batch."""
    side, inner, parts = element.side, element.block.inner, list[tuple[Region, str]]()
    class_token = _operator(graph, element, graph.class_token(query, f"{name}.asking"), key, value, f"{name}.class")
    for region in element.mixer.regions(side):
        where = f"{name}.{region.top}_{region.left}"
        windows = [cut_windows(graph, query, f"{where}.query", side, region, (), inner)]
        for what, x in (("key", key), ("value", value)):
            patches = cut_windows(graph, x, f"{where}.{what}", side, region, (), inner)
            windows.append(with_class_token(graph, patches, x, f"{where}.{what}", region, (), inner))
        tokens = region.window_tokens, region.window_tokens + 1, region.window_tokens + 1
        query_, key_, value_ = (
            graph.node("Reshape", [x, graph.ints(-1, count, inner)], f"{x}.batched")
            for x, count in zip(windows, tokens, strict=True)
        )
        parts.append((region, _operator(graph, element, query_, key_, value_, where)))
    return graph.node("Concat", [class_token, joined_windows(graph, parts, name, side, (), inner)], name, axis=1)


def emit_packed(
    graph: GraphBuilder, element: BlockElement, tensors: Mapping[str, Array], x: str, epsilon: float
) -> tuple[str, str]:
    """Emit one linear for q, k and v; its output viewed as `(B, T, 3, heads, head_dim)`, moved once and split.

    Takes and returns what `emit_with_operator` does. In the last block the class token is cut off before the norm and
    put back in front: a compiler then writes it in the norm's own kernel.
    """
    name, width, block = f"{element.name}.attention", element.width, element.block
    inner, head_dim = block.inner, block.head_dim
    qkv, projection = tensors["attention.qkv.weight"], tensors["attention.projection.weight"]
    bias = fold.norm_shift_into_bias(qkv, tensors["attention.qkv.bias"], tensors["norm1.bias"])
    query_bias, value_bias = fold.without_key_bias(bias)

    def weight() -> Array:
        scaled = fold.norm_scale_into_linear(qkv, tensors["norm1.weight"])
        scaled[:inner] = fold.attention_scale_into_query(scaled[:inner], head_dim)
        return scaled

    def scaled_query_bias() -> Array:
        return fold.attention_scale_into_query(query_bias, head_dim)

    residual = x
    if element.last:
        residual = graph.class_token(x, f"{element.name}.class_token")
        x = graph.node(
            "Concat", [residual, graph.patches(x, f"{element.name}.patches")], f"{element.name}.tokens", axis=1
        )
    x = graph.normalise(x, f"{element.name}.norm1", width, epsilon)
    mixer = element.mixer
    if mixer.kind == POOLED:
        pooled = pooled_tokens(graph, x, name, element.side, mixer.size, width)
        query = graph.linear(x, f"{name}.query", (inner, width), lambda: weight()[:inner])
        query = graph.add_bias(query, f"{name}.query", inner, scaled_query_bias)
        (query,) = _by_head(graph, query, f"{name}.query", ("query",), block)
        x = graph.linear(pooled, f"{name}.key_value", (2 * inner, width), lambda: weight()[inner:])
        key, value = _by_head(graph, x, f"{name}.key_value", ("key", "value"), block)
    else:
        x = graph.linear(x, f"{name}.qkv", (3 * inner, width), weight)
        x = graph.add_bias(
            x, f"{name}.qkv", 3 * inner, lambda: np.concatenate([scaled_query_bias(), np.zeros(2 * inner, np.float32)])
        )
        query, key, value = _by_head(graph, x, name, ("query", "key", "value"), block)
    if element.last:
        query = graph.node("Slice", [query, graph.ints(0), graph.ints(1), graph.ints(2)], f"{name}.class_token")
    if mixer.kind == WINDOW and not element.last:
        x = _windows_in_products(graph, element, query, key, value, name)
    else:
        x = _products(graph, query, key, value, name, 4)
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


def _by_head(graph: GraphBuilder, x: str, name: str, parts: tuple[str, ...], block: Block) -> list[str]:
    """Move `(B, T, parts x heads x head_dim)` once and split it: `(B, heads, T, head_dim)` each."""
    x = graph.node("Reshape", [x, graph.ints(0, 0, len(parts), block.heads, block.head_dim)], f"{name}.view")
    x = graph.node("Transpose", [x], f"{name}.moved", perm=[2, 0, 3, 1, 4])  # (parts, B, heads, T, head_dim)
    split = graph.split(x, f"{name}.split", parts, axis=0) if len(parts) > 1 else [x]
    return [graph.node("Squeeze", [part, graph.ints(0)], f"{part}.squeezed") for part in split]


def _products(graph: GraphBuilder, query: str, key: str, value: str, name: str, rank: int) -> str:
    """Emit two products around a softmax, on the last two of `rank` axes."""
    perm = [*range(rank - 2), rank - 1, rank - 2]
    key = graph.node("Transpose", [key], f"{name}.key.transposed", perm=perm)
    x = graph.node("MatMul", [query, key], f"{name}.scores")
    x = graph.node("Softmax", [x], f"{name}.softmax", axis=-1)
    return graph.node("MatMul", [x, value], f"{name}.weighted")


def _windows_in_products(
    graph: GraphBuilder, element: BlockElement, query: str, key: str, value: str, name: str
) -> str:
    """Emit products of the class token, and of the windows of each region, `(B, heads, windows, tokens, head_dim)`."""
    side, before, head_dim = element.side, (element.block.heads,), element.block.head_dim
    asking = graph.node("Slice", [query, graph.ints(0), graph.ints(1), graph.ints(2)], f"{name}.asking")
    class_token, parts = _products(graph, asking, key, value, f"{name}.class", 4), list[tuple[Region, str]]()
    for region in element.mixer.regions(side):
        where = f"{name}.{region.top}_{region.left}"
        queries = cut_windows(graph, query, f"{where}.query", side, region, before, head_dim)
        keys, values = (
            with_class_token(
                graph,
                cut_windows(graph, x, f"{where}.{what}", side, region, before, head_dim),
                x,
                f"{where}.{what}",
                region,
                before,
                head_dim,
            )
            for what, x in (("key", key), ("value", value))
        )
        parts.append((region, _products(graph, queries, keys, values, where, 5)))
    patches = joined_windows(graph, parts, name, side, before, head_dim)
    return graph.node("Concat", [class_token, patches], f"{name}.mixed", axis=2)


ATTENTION: Mapping[str, Emitter] = {OPERATOR: emit_with_operator, PACKED: emit_packed}
