"""Emits a residual spatial reduction: one node, `resnas::ResidualReduction1` or 2, with a body in standard operators.

y = [V n_0; W * n] + T + pad([x_0; pool(x)]), where n is the normalised x, token 0 the class token. An odd side is
halved and rounded up. A runtime that does
not know the operator puts the body in its place; a plugin can take the node over.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import FunctionProto

from resnas_deploy.arch.elements import ReductionElement
from resnas_deploy.graph import fold
from resnas_deploy.graph.nodes import DOMAIN, TO_THE_END, FunctionBuilder, GraphBuilder
from resnas_deploy.graph.spelling import GRID, Spelling
from resnas_deploy.weights.checkpoint import Array

OPERATOR = "ResidualReduction"
INPUTS = ("x", "norm_scale", "conv_weight", "class_weight", "table")
MEAN_WEIGHT = "mean_weight"  # the sixth input, of graphs with padded embeddings


def emit_reduction(
    graph: GraphBuilder,
    element: ReductionElement,
    tensors: Mapping[str, Array],
    x: str,
    epsilon: float,
    spelling: Spelling,
    mean_weight: Array | None = None,
) -> str:
    """Emit `(B, 1 + N, C)` to `(B, 1 + N/4, C')`. Norm, biases and positions are folded into weights and one table.

    `mean_weight` `(C',)` is the sixth input that the reductions of a graph with padded embeddings have (`align`).
    """
    name, width, out, side = element.name, element.width, element.out_width, element.side
    scale, shift = tensors["norm.weight"], tensors["norm.bias"]
    conv, linear = tensors["conv.weight"], tensors["class_linear.weight"]
    by_grid = spelling.reduction == GRID
    class_shape = (out, width, 1, 1) if by_grid else (width, out)

    def class_weight() -> Array:
        weight = fold.norm_scale_into_linear(linear, scale)
        return weight.reshape(class_shape) if by_grid else weight.T

    def table() -> Array:
        class_bias = fold.norm_shift_into_bias(linear, tensors["class_linear.bias"], shift)
        image = fold.shift_image(conv, shift, side)
        return fold.reduction_table(class_bias, tensors["position"][0], tensors["conv.bias"], image)[None]

    inputs = [
        x,
        graph.ones(width),
        graph.weight(f"{name}.conv.weight", conv.shape, lambda: fold.norm_scale_into_conv(conv, scale)),
        graph.weight(f"{name}.class_linear.weight", class_shape, class_weight),
        graph.weight(f"{name}.table", (1, 1 + element.out_side**2, out), table),
    ]
    if mean_weight is not None:
        inputs.append(graph.weight(f"{name}.{MEAN_WEIGHT}", mean_weight.shape, lambda: mean_weight))
    body = FunctionBuilder(
        operator_of(element), name, INPUTS if mean_weight is None else (*INPUTS, MEAN_WEIGHT), graph.opset
    )
    function = (_by_grid if by_grid else _by_views)(body, element, epsilon, with_mean=mean_weight is not None)
    graph.functions.append(function)
    return graph.node(function.name, inputs, name, domain=DOMAIN)


def operator_of(element: ReductionElement) -> str:
    """Return the name of the operator that is this reduction."""
    return f"{OPERATOR}{element.name.removeprefix('reduction')}"


def _by_views(body: FunctionBuilder, element: ReductionElement, epsilon: float, *, with_mean: bool) -> FunctionProto:
    """Change the layout of the convolution's input and output alone.

    Pooling is the mean of two rows, then of two columns, each over a view of the tokens.
    """
    width, side, half = element.width, element.side, element.out_side
    normed = body.add("LayerNormalization", ["x", "norm_scale"], "normed", axis=-1, epsilon=epsilon)
    class_token = body.add("MatMul", [body.cut(normed, 0, 1, "normed_class"), "class_weight"], "class_token")
    grid = body.add("Transpose", [body.cut(normed, 1, TO_THE_END, "normed_patches")], "channels_first", perm=[0, 2, 1])
    grid = body.add("Reshape", [grid, body.ints(0, 0, side, side)], "normed_grid")
    conv = body.add("Conv", [grid, "conv_weight"], "conv", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    conv = body.add("Reshape", [conv, body.ints(0, 0, -1)], "conv_flat")
    patches = body.add("Transpose", [conv], "patches", perm=[0, 2, 1])

    residual_class = body.cut("x", 0, 1, "residual_class")
    rows = _even(body, element, body.cut("x", 1, TO_THE_END, "residual_patches"))
    rows = body.add("Reshape", [rows, body.ints(0, half, 2, 2 * half * width)], "row_pairs")
    rows = body.add("ReduceMean", [rows, body.ints(2)], "row_means", keepdims=0)
    columns = body.add("Reshape", [rows, body.ints(0, half**2, 2, width)], "column_pairs")
    pooled = body.add("ReduceMean", [columns, body.ints(2)], "pooled", keepdims=0)
    reduced = body.add("Concat", [class_token, patches], "reduced", axis=1)
    residual = body.add("Concat", [residual_class, pooled], "residual", axis=1)
    return _summed(body, element, reduced, residual, with_mean=with_mean)


def _by_grid(body: FunctionBuilder, element: ReductionElement, epsilon: float, *, with_mean: bool) -> FunctionProto:
    """Make the norm's output one dense grid, (side + 1) rows of `side` tokens; nothing is cut out of it.

    A compiler writes a norm in one kernel if what is cut and joined is its input, not its output. So the class token
    becomes the first of one more row, whose other tokens are zeros. The convolution (no padding below) never reads
    that row: of an odd side, where it reads below the grid, a row of zeros, which the norm leaves zeros, lies between.
    A second one, 1x1 with a stride from the grid's first row to that one, reads the grid's first token and the class
    token, and the latter's is the class token's linear. Pooling adds four slices of a view, which are element-wise
    and fuse.
    """
    width, out, side, half = element.width, element.out_width, element.side, element.out_side
    residual_class = body.cut("x", 0, 1, "residual_class")
    residual_patches = body.cut("x", 1, TO_THE_END, "residual_patches")
    odd = side % 2
    class_row = body.add("Pad", [residual_class, body.ints(0, odd * side, 0, 0, side - 1, 0)], "class_row")
    rows = body.add("Concat", [residual_patches, class_row], "rows", axis=1)
    grid = body.add("LayerNormalization", [rows, "norm_scale"], "normed", axis=-1, epsilon=epsilon)
    grid = body.add("Reshape", [grid, body.ints(0, side + 1 + odd, side, width)], "normed_channels_last")
    grid = body.add("Transpose", [grid], "normed_grid", perm=[0, 3, 1, 2])
    conv = body.add("Conv", [grid, "conv_weight"], "conv", kernel_shape=[3, 3], pads=[1, 1, 0, odd], strides=[2, 2])
    conv = body.add("Transpose", [conv], "conv_channels_last", perm=[0, 2, 3, 1])
    patches = body.add("Reshape", [conv, body.ints(0, half**2, out)], "patches")
    corners = body.add("Conv", [grid, "class_weight"], "corners", kernel_shape=[1, 1], strides=[side + odd, side])
    corners = body.add("Reshape", [corners, body.ints(0, out, 2)], "corners_flat")
    corners = body.add("Transpose", [corners], "corner_tokens", perm=[0, 2, 1])
    class_token = body.cut(corners, 1, 2, "class_token")

    even = _even(body, element, residual_patches)
    windows = body.add("Reshape", [even, body.ints(0, half, 2, half, 2, width)], "windows")
    quarters = [
        body.add(
            "Slice",
            [windows, body.ints(row, column), body.ints(row + 1, column + 1), body.ints(2, 4)],
            f"quarter_{row}{column}",
        )
        for row in range(2)
        for column in range(2)
    ]
    pooled = body.add("Mean", quarters, "window_means")
    pooled = body.add("Reshape", [pooled, body.ints(0, half**2, width)], "pooled")
    reduced = body.add("Concat", [class_token, patches], "reduced", axis=1)
    residual = body.add("Concat", [residual_class, pooled], "residual", axis=1)
    return _summed(body, element, reduced, residual, with_mean=with_mean)


def _even(body: FunctionBuilder, element: ReductionElement, patches: str) -> str:
    """Repeat the last row and column of an odd side: a mean of four is then one over what is there, exactly."""
    side = element.side
    if side % 2 == 0:
        return patches
    grid = body.add("Reshape", [patches, body.ints(0, side, side, element.width)], "residual_grid")
    return body.add("Pad", [grid, body.ints(0, 0, 0, 0, 0, 1, 1, 0)], "residual_even", mode="edge")


def _summed(
    body: FunctionBuilder, element: ReductionElement, reduced: str, residual: str, *, with_mean: bool
) -> FunctionProto:
    """Add what the norm's readers made, the table, and the padded residual: the end of both bodies.

    `with_mean` adds m(residual) v too, where m is the mean over channels and v `mean_weight`.
    """
    placed = body.add("Add", [reduced, "table"], "placed")
    if with_mean:
        mean = body.add("ReduceMean", [residual, body.ints(2)], "residual_mean", keepdims=1)
        placed = body.add("Add", [placed, body.add("Mul", [mean, MEAN_WEIGHT], "mean_placed")], "placed_with_mean")
    pads = body.ints(0, 0, 0, 0, 0, element.out_width - element.width)
    padded = body.add("Pad", [residual, pads], "residual_padded")
    return body.build(body.add("Add", [placed, padded], "y"))
