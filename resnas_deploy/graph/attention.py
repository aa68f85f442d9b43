"""Emits attention with any mixer, in either spelling, and the norm before it.

Both spellings compute the last block's output of the class token alone, which attends to all tokens in windows as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from resnas_deploy.arch.elements import BlockElement
from resnas_deploy.arch.mixer import POOLED, WINDOW
from resnas_deploy.arch.spec import Block
from resnas_deploy.graph import fold
from resnas_deploy.graph.mixing import Windows, pooled_by_slices, pooled_by_views
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
    side, tokens = element.side, element.side**2 + 1
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

    if not element.last:
        x = graph.rows(x, element.name, width)
    normed = graph.normalise(x, f"{element.name}.norm1", width, epsilon)
    mixer, windows = element.mixer, windows_of(element)
    asking, asked, held = normed, normed, tokens  # how many ask, and how many keys and values there are
    if element.last:
        asking, tokens = graph.rows(graph.class_token(normed, f"{name}.class_token"), f"{name}.asking", width), 1
    if mixer.kind == POOLED:
        asked = graph.tokens(normed, f"{name}.normed", held, width) if not element.last else normed
        asked, held = pooled_by_views(graph, asked, name, side, mixer.size, width), mixer.sources(side)
        asked = graph.rows(asked, f"{name}.pooled", width) if not element.last else asked
    if windows:
        normed = windows.ordered(graph, graph.tokens(normed, f"{name}.normed", tokens, width), name, 1)
        asking = asked = graph.rows(normed, f"{name}.windows", width)
        tokens = held = windows.tokens
    query = graph.affine(
        asking,
        f"{name}.query",
        shape,
        query_weight,
        lambda: fold.attention_scale_into_query(query_bias, block.head_dim),
    )
    query = graph.tokens(query, f"{name}.query", tokens, inner)
    key = graph.linear(asked, f"{name}.key", shape, key_weight)
    value = graph.linear(asked, f"{name}.value", shape, value_weight)
    if not element.last:
        key, value = (
            graph.tokens(part, f"{name}.{what}", held, inner) for part, what in ((key, "key"), (value, "value"))
        )
    if windows:
        out = _windows_with_operator(graph, windows, (query, key, value), name, block)
    else:
        out = _operator(graph, (query, key, value), name, block)
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


def windows_of(element: BlockElement) -> Windows | None:
    """Return the windows that a block attends in; none of the last, whose class token attends to all."""
    return Windows(element.mixer, element.side) if element.mixer.kind == WINDOW and not element.last else None


def _operator(graph: GraphBuilder, inputs: Sequence[str], name: str, block: Block) -> str:
    """Emit the operator on q, k and v, `(B, T, C)` each, and what is added to the scores."""
    return graph.node("Attention", inputs, name, scale=1.0, q_num_heads=block.heads, kv_num_heads=block.heads)


def _windows_with_operator(
    graph: GraphBuilder, windows: Windows, parts: tuple[str, str, str], name: str, block: Block
) -> str:
    """Emit one operator for the class token and one for the windows of each region, which are a batch."""
    query, key, value = parts
    asking = graph.class_token(query, f"{name}.asking")
    class_token = _operator(graph, (asking, key, value, windows.hiding_copies(graph)), f"{name}.class", block)
    by_part = [
        windows.split(graph, x, f"{name}.{what}", 1) for what, x in (("query", query), ("key", key), ("value", value))
    ]
    found = list[str]()
    for number, group in enumerate(windows.groups):
        own, batched = f"{name}.windows{number + 1}", graph.ints(-1, group.tokens, block.inner)
        taken = [graph.node("Reshape", [part[number], batched], f"{part[number]}.batched") for part in by_part]
        x = _operator(graph, taken, own, block)
        found.append(graph.node("Reshape", [x, graph.ints(-1, group.length, block.inner)], f"{own}.view"))
    return windows.joined(graph, class_token, found, name, 1)


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
    mixer, windows = element.mixer, windows_of(element)
    if mixer.kind == POOLED:
        pooled = pooled_by_slices(graph, x, name, element.side, mixer.size, width)
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
    if element.last or windows:
        asking = graph.node("Slice", [query, graph.ints(0), graph.ints(1), graph.ints(2)], f"{name}.class_token")
    if windows:
        class_token = _products(graph, asking, key, value, f"{name}.class", 4)
        x = _windows_in_products(graph, windows, class_token, f"{name}.moved", name, block)
    else:
        x = _products(graph, asking if element.last else query, key, value, name, 4)
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
    """Move `(B, T, parts x heads x head_dim)` once, to `NAME.moved`, and split it: `(B, heads, T, head_dim)` each."""
    x = graph.node("Reshape", [x, graph.ints(0, 0, len(parts), block.heads, block.head_dim)], f"{name}.view")
    x = graph.node("Transpose", [x], f"{name}.moved", perm=[2, 0, 3, 1, 4])  # (parts, B, heads, T, head_dim)
    return _parts(graph, x, name, parts)


def _parts(graph: GraphBuilder, x: str, name: str, parts: tuple[str, ...]) -> list[str]:
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
    graph: GraphBuilder, windows: Windows, class_token: str, qkv: str, name: str, block: Block
) -> str:
    """Emit products of the windows of each group, and put them behind the class token's `(B, heads, 1, head_dim)`.

    Takes q, k and v by head, `(3, B, heads, T, head_dim)`: moved into windows at once, in the kernel that moves heads.
    """
    qkv, found = windows.ordered(graph, qkv, name, 3), list[str]()
    for number, (group, x) in enumerate(zip(windows.groups, windows.split(graph, qkv, name, 3), strict=True), 1):
        own = f"{name}.windows{number}"
        shape = graph.ints(3, -1, block.heads, group.windows, group.tokens, block.head_dim)
        x = graph.node("Reshape", [x, shape], f"{own}.view")
        query, key, value = _parts(graph, x, own, ("query", "key", "value"))
        x = _products(graph, query, key, value, own, 5)
        back = graph.ints(-1, block.heads, group.length, block.head_dim)
        found.append(graph.node("Reshape", [x, back], f"{own}.joined"))
    return windows.joined(graph, class_token, found, name, 2)


ATTENTION: Mapping[str, Emitter] = {OPERATOR: emit_with_operator, PACKED: emit_packed}
