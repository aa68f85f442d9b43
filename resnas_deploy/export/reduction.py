"""Emits a residual spatial reduction: one node `resnas::ResidualReduction`, with a function body in standard operators.

A runtime that does not know the operator puts the body in its place; a plugin can take the node over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import AttributeProto, FunctionProto, NodeProto, helper

from resnas_deploy.elements import ReductionElement
from resnas_deploy.checkpoint import Array
from resnas_deploy.export import fold
from resnas_deploy.export.builder import AttributeValue, GraphBuilder, make_node

DOMAIN, DOMAIN_VERSION, OPERATOR = "resnas", 1, "ResidualReduction"
INPUTS = ("x", "norm_scale", "conv_weight", "class_weight", "table")
MEAN_WEIGHT = "mean_weight"  # the sixth input, of graphs with padded embeddings
ATTRIBUTES = ("epsilon", "grid_shape", "row_pairs_shape", "column_pairs_shape", "pads")
_TO_THE_END = 2**63 - 1


def emit_reduction(
    graph: GraphBuilder,
    element: ReductionElement,
    tensors: Mapping[str, Array],
    x: str,
    epsilon: float,
    mean_weight: Array | None = None,
) -> str:
    """`(B, 1 + N, C)` to `(B, 1 + N/4, C')`. Norm, biases and positions are folded into weights and one table.

    `mean_weight` `(C',)` is the sixth input that the reductions of a graph with padded embeddings have (`align`).
    """
    name, width, out, side, half = element.name, element.width, element.out_width, element.side, element.side // 2
    scale, shift = tensors["norm.weight"], tensors["norm.bias"]
    conv, linear = tensors["conv.weight"], tensors["class_linear.weight"]

    def table() -> Array:
        class_bias = fold.norm_shift_into_bias(linear, tensors["class_linear.bias"], shift)
        image = fold.shift_image(conv, shift, side)
        return fold.reduction_table(class_bias, tensors["position"][0], tensors["conv.bias"], image)[None]

    inputs = [
        x,
        graph.ones(width),
        graph.weight(f"{name}.conv.weight", conv.shape, lambda: fold.norm_scale_into_conv(conv, scale)),
        graph.weight(f"{name}.class_linear.weight", (width, out), lambda: fold.norm_scale_into_linear(linear, scale).T),
        graph.weight(f"{name}.table", (1, 1 + half**2, out), table),
    ]
    if mean_weight is not None:
        inputs.append(graph.weight(f"{name}.{MEAN_WEIGHT}", mean_weight.shape, lambda: mean_weight))
    return graph.node(
        OPERATOR,
        inputs,
        name,
        domain=DOMAIN,
        epsilon=epsilon,
        grid_shape=[0, 0, side, side],
        row_pairs_shape=[0, half, 2, side * width],
        column_pairs_shape=[0, half**2, 2, width],
        pads=[0, 0, 0, 0, 0, out - width],
    )


def reduction_function(opset: int, *, with_mean: bool = False) -> FunctionProto:
    """The body of `resnas::ResidualReduction`, one for reductions of every size: sizes and epsilon come as attributes.

    y = [V n_0; W * n] + T + pad([x_0; pool(x)]), where n is the normalised x, token 0 the class token. Only the
    convolution's input and output change their layout; pooling is the mean of two rows, then of two columns, each over
    a view of the tokens. `with_mean` adds m([x_0; pool(x)]) v, where m is the mean over channels and v `mean_weight`.
    """
    body = _Body()
    body.attribute("grid_shape")
    body.attribute("row_pairs_shape")
    body.attribute("column_pairs_shape")
    body.attribute("pads")
    body.constant("zero", [0])
    body.constant("one", [1])
    body.constant("to_the_end", [_TO_THE_END])
    body.constant("flat_shape", [0, 0, -1])
    body.constant("pair_axis", [2])

    body.add("LayerNormalization", ["x", "norm_scale"], "normed", axis=-1)
    body.nodes[-1].attribute.append(_reference("epsilon", AttributeProto.FLOAT, "epsilon"))
    body.add("Slice", ["normed", "zero", "one", "one"], "normed_class")
    body.add("MatMul", ["normed_class", "class_weight"], "class_token")
    body.add("Slice", ["normed", "one", "to_the_end", "one"], "normed_patches")
    body.add("Transpose", ["normed_patches"], "normed_channels_first", perm=[0, 2, 1])
    body.add("Reshape", ["normed_channels_first", "grid_shape"], "normed_grid")
    body.add("Conv", ["normed_grid", "conv_weight"], "conv", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    body.add("Reshape", ["conv", "flat_shape"], "conv_flat")
    body.add("Transpose", ["conv_flat"], "patches", perm=[0, 2, 1])
    body.add("Concat", ["class_token", "patches"], "reduced", axis=1)

    body.add("Slice", ["x", "zero", "one", "one"], "residual_class")
    body.add("Slice", ["x", "one", "to_the_end", "one"], "residual_patches")
    body.add("Reshape", ["residual_patches", "row_pairs_shape"], "row_pairs")  # (B, side/2, 2, side * C)
    body.add("ReduceMean", ["row_pairs", "pair_axis"], "row_means", keepdims=0)
    body.add("Reshape", ["row_means", "column_pairs_shape"], "column_pairs")  # (B, N/4, 2, C)
    body.add("ReduceMean", ["column_pairs", "pair_axis"], "pooled", keepdims=0)
    body.add("Concat", ["residual_class", "pooled"], "residual", axis=1)
    body.add("Pad", ["residual", "pads"], "residual_padded")

    body.add("Add", ["reduced", "table"], "placed")
    if with_mean:
        body.constant("channel_axis", [2])
        body.add("ReduceMean", ["residual", "channel_axis"], "residual_mean", keepdims=1)
        body.add("Mul", ["residual_mean", MEAN_WEIGHT], "mean_placed")
        body.add("Add", ["placed", "mean_placed"], "placed_with_mean")
    body.add("Add", ["placed_with_mean" if with_mean else "placed", "residual_padded"], "y")
    imports = [helper.make_opsetid("", opset)]
    inputs = (*INPUTS, MEAN_WEIGHT) if with_mean else INPUTS
    return helper.make_function(DOMAIN, OPERATOR, inputs, ["y"], body.nodes, imports, ATTRIBUTES)


class _Body:
    """The nodes of a function; each has its output's name."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: AttributeValue) -> None:
        self.nodes.append(make_node(op, inputs, output, output, domain="", **attributes))

    def constant(self, output: str, values: Sequence[int]) -> None:
        self.add("Constant", [], output, value_ints=values)

    def attribute(self, name: str) -> None:
        """The function's attribute of this name, as a tensor of this name."""
        node = helper.make_node("Constant", [], [name], name=name)
        node.attribute.append(_reference("value_ints", AttributeProto.INTS, name))
        self.nodes.append(node)


def _reference(name: str, kind: AttributeProto.AttributeType, function_attribute: str) -> AttributeProto:
    """A node's attribute whose value is that of the function's."""
    return AttributeProto(name=name, ref_attr_name=function_attribute, type=kind)
