"""Exact alignment: the weights of a wider network that computes the same logits.

Each rule is an equation that holds in real numbers. Let c be a true width and C >= c the padded one, 1 the vector of c
ones, mu(x) and var(x) the mean and the variance of the channels of x.

**The padding of the stream holds the mean.** The residual stream x is a sum of what is written to it: class token,
positions, the stem's projection, and of each block the attention's projection and fc2. Each writer W gets C - c more
rows, all of them the mean of its own, 1' W / c, so that the padded stream is X = [x; mu(x); ..; mu(x)]. Its mean is
mu(x), its variance (c/C) var(x), and LayerNormalization over C with the epsilon (c/C) eps is therefore

    (X - mu(x)) / sqrt((c/C) var(x) + (c/C) eps) = sqrt(C/c) [(x - mu(x)) / sqrt(var(x) + eps); 0; ..; 0].

So the norm's scale is multiplied by sqrt(c/C), which folds into what reads it, and the padding is read as 0.

**A reduction** pads its residual, the pooled stream X, with zeros to the next stage's width C'. The true residual x is
padded from c to c' channels, and its mean becomes (c/c') mu(x): that belongs into the padding from c' to C', and 0, not
mu(x), into the channels from c on. So mu(X) = mu(x), a number for each token, is multiplied by a vector

    v = (c/c') [channels from c' to C'] - [channels from c to C]

and added (`mean_weight`). Centring the stream instead, which LayerNorm would not notice within a stage, is no way
around it: in c' channels the mean of the first c of them is no longer a constant, and must be known.

**Attention** divides scores by sqrt(d), the true head_dim. The emitter, told of D >= d, divides by sqrt(D), so q is
multiplied by sqrt(D/d). Zeros in q, k and v change no score and add no output; a head of zeros has equal weights, of
values that are 0.

**The rest**: a hidden channel of zeros stays one through GELU, for GELU(0) = 0; so does a channel of the stem through
batch normalisation of scale, shift and mean 0, whose variance of 0 is kept from a division by 0 by its epsilon, and
through ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.alignment import aligned_arch, round_up
from resnas_deploy.arch.elements import NORM_EPS, BlockElement, Element, ReductionElement, elements
from resnas_deploy.arch.spec import ArchSpec, Block
from resnas_deploy.weights.checkpoint import Array
from resnas_deploy.weights.schema import Shape, tensor_shapes

# What writes to the residual stream, by its name in its element, with the axis of the stream's channels.
_WRITERS = {
    "class_token": -1,
    "position": -1,  # of the stem and of reductions
    "projection.weight": 0,  # of the stem
    "projection.bias": 0,
    "attention.projection.weight": 0,
    "attention.projection.bias": 0,
    "mlp.fc2.weight": 0,
    "mlp.fc2.bias": 0,
    "conv.weight": 0,  # of reductions
    "conv.bias": 0,
    "class_linear.weight": 0,
    "class_linear.bias": 0,
}
_NORM_SCALES = ("norm.weight", "norm1.weight", "norm2.weight")


@dataclass(frozen=True)
class Aligned:
    """A network as it is emitted: the padded widths, and the tensors that `schema.tensor_shapes` says of them."""

    arch: ArchSpec
    tensors: Mapping[str, Array]
    epsilons: Mapping[str, float]  # of an element's norms, by the element's name: (c/C) eps
    mean_weights: Mapping[str, Array]  # `mean_weight` by the reduction's name; empty where all are 0


def align(arch: ArchSpec, tensors: Mapping[str, Array], multiple: int) -> Aligned:
    """Return the network with every width a multiple, which has the same logits.

    Arrays keep their dtype. An element that needs no padding keeps its arrays; those of the others are new, so up to a
    second copy of the weights is in memory.
    """
    wider = aligned_arch(arch, multiple)
    shapes, found = tensor_shapes(wider), dict[str, Array]()
    epsilons, mean_weights = dict[str, float](), dict[str, Array]()
    for true, padded in zip(elements(arch), elements(wider), strict=True):
        prefix = f"{true.name}."
        for name in (name for name in shapes if name.startswith(prefix)):
            values = tensors[name]
            if true != padded:
                values = _aligned(name.removeprefix(prefix), values, shapes[name], true, padded)
            found[name] = values
        epsilons[true.name] = NORM_EPS * (true.width / padded.width)
        if isinstance(true, ReductionElement) and isinstance(padded, ReductionElement):
            mean_weights[true.name] = mean_weight(true, padded).astype(values.dtype)
    padding = any(weight.any() for weight in mean_weights.values())
    return Aligned(wider, found, epsilons, mean_weights if padding else {})


def aligned_output(output: Array, multiple: int) -> Array:
    """Return what an aligned graph has in its stream where the network has `output`, `(B, T, c)`: `(B, T, C)`."""
    return mean_padded(output, round_up(output.shape[-1], multiple), -1)


def mean_weight(true: ReductionElement, padded: ReductionElement) -> NDArray[np.float64]:
    """Return v, `(C',)`: what each channel of a reduction's output takes of the mean of a token's residual."""
    weight = np.zeros(padded.out_width)
    weight[true.out_width :] += true.width / true.out_width
    weight[true.width : padded.width] -= 1
    return weight


def mean_padded(values: Array, size: int, axis: int) -> Array:
    """Return `[x; mu(x); ..]` for every x along the axis, to the `size`; `values` themselves where it has it."""
    missing = size - values.shape[axis]
    if not missing:
        return values
    mean = values.mean(axis, dtype=np.float64, keepdims=True).astype(values.dtype)  # of float64: one rounding
    return np.concatenate([values, np.repeat(mean, missing, axis)], axis)


def zero_padded(values: Array, shape: Shape) -> Array:
    """Return the values in the leading corner of an array of zeros."""
    found = np.zeros(shape, values.dtype)
    found[tuple(map(slice, values.shape))] = values
    return found


def padded_norm_scale(scale: Array, padded_width: int) -> Array:
    """Return sqrt(c/C) g, zeros after it: the scale of a norm over a padded width."""
    return zero_padded(scale * math.sqrt(len(scale) / padded_width), (padded_width,))


def padded_qkv(values: Array, shape: Shape, block: Block, padded: Block) -> Array:
    """Return the weight `(3 h d, c)` or bias `(3 h d,)` of q, k and v: heads padded in place, q times sqrt(D/d)."""
    by_head = values.reshape(3, block.heads, block.head_dim, *values.shape[1:])
    found = zero_padded(by_head, (3, padded.heads, padded.head_dim, *shape[1:]))
    found[0] *= math.sqrt(padded.head_dim / block.head_dim)
    return found.reshape(shape)


def padded_projection(weight: Array, shape: Shape, block: Block, padded: Block) -> Array:
    """Return attention's projection `(C, h d)`, the columns of each head padded in their place."""
    by_head = weight.reshape(len(weight), block.heads, block.head_dim)
    return zero_padded(by_head, (len(weight), padded.heads, padded.head_dim)).reshape(shape)


def _aligned(name: str, values: Array, shape: Shape, true: Element, padded: Element) -> Array:
    """Return one tensor, by its name in its element, in the padded element's shape."""
    if name in _WRITERS:
        axis = _WRITERS[name]
        values = mean_padded(values, shape[axis], axis)
    if name in _NORM_SCALES:
        return padded_norm_scale(values, shape[0])
    if isinstance(true, BlockElement) and isinstance(padded, BlockElement):
        if name.startswith("attention.qkv."):
            return padded_qkv(values, shape, true.block, padded.block)
        if name == "attention.projection.weight":
            return padded_projection(values, shape, true.block, padded.block)
    return zero_padded(values, shape)
