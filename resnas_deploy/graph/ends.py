"""Emits the network's ends: the stem, from images to tokens, and the head, from the class token to logits.

The stem is three convolutions and a projection to tokens, then one table of class token, bias and positions.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import TensorProto

from resnas_deploy.arch.elements import BATCH_NORM_EPS, INPUT, HeadElement, StemElement
from resnas_deploy.arch.inputs import FLOAT32, InputKind
from resnas_deploy.graph import fold
from resnas_deploy.graph.nodes import GraphBuilder
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.weights.checkpoint import Array

_IMAGES = ("conv1.weight", "projection.weight")  # what reads the images, where it is there


def emit_images(graph: GraphBuilder, stem: StemElement, kind: InputKind, preprocessing: Preprocessing) -> str:
    """Emit the input to what the stem's convolution reads, `(B, 3, S, S)` in the graph's type.

    That is the normalised image; of uint8 images it is u - 255 mean, and `images_into` has the rest. The subtraction is
    in float32, so that its result is rounded to the graph's type once, as a normalised image is.
    """
    name, graph_type = stem.name, graph.precision.onnx
    if kind is FLOAT32:
        return graph.cast(INPUT, "input_cast", graph_type) if graph_type != kind.onnx else INPUT
    x = graph.cast(INPUT, f"{name}.levels", TensorProto.FLOAT)  # first, since TensorRT takes uint8 into a Cast alone
    x = graph.node("Transpose", [x], f"{name}.channels_first", perm=[0, 3, 1, 2])
    mean = graph.weight_in_float32(f"{name}.centre", (3, 1, 1), lambda: fold.levels_centre(preprocessing.mean))
    x = graph.node("Add", [x, mean], f"{name}.centred")
    return graph.cast(x, f"{name}.centred_cast", graph_type) if graph_type != TensorProto.FLOAT else x


def images_into(tensors: Mapping[str, Array], kind: InputKind, preprocessing: Preprocessing) -> Mapping[str, Array]:
    """Return the stem's tensors with the factor of what `emit_images` leaves in the convolution that reads it."""
    if kind is FLOAT32:
        return tensors
    first = next(name for name in _IMAGES if name in tensors)
    return {**tensors, first: fold.levels_into_conv(tensors[first], fold.levels_factor(preprocessing.std))}


def emit_stem(graph: GraphBuilder, stem: StemElement, tensors: Mapping[str, Array], images: str) -> str:
    """Emit images `(B, 3, S, S)` to tokens `(B, 1 + N, C)`. The class token's row is padding, not a repetition."""
    name, kernel, x = stem.name, stem.patch_size, images
    if stem.mid_width:
        first = _conv_relu(graph, stem, tensors, 1, x)
        third = _conv_relu(graph, stem, tensors, 3, _conv_relu(graph, stem, tensors, 2, first))
        x = graph.node("Add", [first, third], f"{name}.add")  # (B, mid, S/2, S/2)
        kernel = stem.patch_size // 2
    projection = tensors["projection.weight"]
    weight = graph.weight(f"{name}.projection.weight", projection.shape, lambda: projection)
    x = graph.node("Conv", [x, weight], f"{name}.projection", kernel_shape=[kernel] * 2, strides=[kernel] * 2)
    x = graph.node("Reshape", [x, graph.ints(0, 0, -1)], f"{name}.flat")  # (B, C, N)
    x = graph.node("Transpose", [x], f"{name}.patches", perm=[0, 2, 1])
    x = graph.node("Pad", [x, graph.ints(0, 1, 0, 0, 0, 0)], f"{name}.tokens")  # a row of zeros before the patches
    table = graph.weight(
        f"{name}.table",
        (1, 1 + stem.side**2, stem.width),
        lambda: fold.stem_table(tensors["position"][0], tensors["class_token"][0, 0], tensors["projection.bias"])[None],
    )
    return graph.node("Add", [x, table], f"{name}.table_add", output=name)


def _conv_relu(graph: GraphBuilder, stem: StemElement, tensors: Mapping[str, Array], number: int, x: str) -> str:
    """Add a 3x3 convolution, the first of stride 2, with its batch normalisation folded in, and ReLU."""
    name, convolution = f"{stem.name}.conv{number}", tensors[f"conv{number}.weight"]
    scale, shift, mean, variance = (
        tensors[f"bn{number}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = fold.batch_norm_factor(scale, variance, BATCH_NORM_EPS)
    weight = graph.weight(f"{name}.weight", convolution.shape, lambda: fold.batch_norm_into_weight(convolution, factor))
    bias = graph.weight(f"{name}.bias", shift.shape, lambda: fold.batch_norm_into_bias(factor, mean, shift))
    stride = 2 if number == 1 else 1
    x = graph.node("Conv", [x, weight, bias], name, kernel_shape=[3, 3], pads=[1] * 4, strides=[stride] * 2)
    return graph.node("Relu", [x], f"{name}.relu")


def emit_head(graph: GraphBuilder, head: HeadElement, tensors: Mapping[str, Array], x: str, epsilon: float) -> str:
    """Emit the class token `(B, 1, C)`, all that the last block leaves, to logits `(B, classes)`."""
    name, width, classes = head.name, head.width, head.classes
    linear, scale, shift = tensors["linear.weight"], tensors["norm.weight"], tensors["norm.bias"]
    x = graph.node("Squeeze", [x, graph.ints(1)], f"{name}.class_token")
    x = graph.normalise(x, f"{name}.norm", width, epsilon)
    weight = graph.weight(f"{name}.linear.weight", (classes, width), lambda: fold.norm_scale_into_linear(linear, scale))
    bias = graph.weight(
        f"{name}.linear.bias", (classes,), lambda: fold.norm_shift_into_bias(linear, tensors["linear.bias"], shift)
    )
    return graph.node("Gemm", [x, weight, bias], f"{name}.linear", transB=1)
