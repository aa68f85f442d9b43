"""Exact folding: algebra that moves parameters into the linears, convolutions and tables around them.

Each rule is an equation that holds in real numbers; in float32 its two sides differ by rounding alone. Linears are
`(out, in)`, convolutions `(out, in, kernel, kernel)`, tables `(tokens, channels)`; all arrays are float32. In the
equations n is a LayerNorm's normalised input, g its scale and s its shift, so that the norm's output is g n + s.
"""

from __future__ import annotations

import numpy as np

from resnas_deploy.weights.checkpoint import Array


def batch_norm_factor(scale: Array, variance: Array, eps: float) -> Array:
    """The factor a by which batch normalisation multiplies each channel: a = scale / sqrt(variance + eps)."""
    factor: Array = scale / np.sqrt(variance + np.float32(eps))
    return factor


def batch_norm_into_weight(weight: Array, factor: Array) -> Array:
    """A (W * x - mean) + shift = (a W) * x + (shift - a mean): this is a W, by output channel."""
    return weight * factor[:, None, None, None]


def batch_norm_into_bias(factor: Array, mean: Array, shift: Array) -> Array:
    """A (W * x - mean) + shift = (a W) * x + (shift - a mean): this is shift - a mean."""
    return shift - factor * mean


def norm_scale_into_linear(weight: Array, scale: Array) -> Array:
    """W (g n) = (W diag(g)) n."""
    return weight * scale


def norm_shift_into_bias(weight: Array, bias: Array, shift: Array) -> Array:
    """W (g n + s) + b = W (g n) + (b + W s). `weight` is W as it was, without the norm's scale."""
    return bias + weight @ shift


def attention_scale_into_query(query: Array, head_dim: int) -> Array:
    """(q / sqrt(d)) . k = q . k / sqrt(d): the weight or the bias that makes q is divided by sqrt(d)."""
    return query * np.float32(head_dim**-0.5)


def without_key_bias(qkv_bias: Array) -> tuple[Array, Array]:
    """softmax_j(q . (k_j + b)) = softmax_j(q . k_j): q . b is the same for every j, and softmax ignores what all share.

    So the bias of k, the norm's shift in it included, is dropped. Returns those of q and of v.
    """
    query, _, value = np.split(qkv_bias, 3)
    return query, value


def value_bias_into_projection(projection: Array, bias: Array, value_bias: Array) -> Array:
    """P (sum_j a_j (v_j + b)) + c = P (sum_j a_j v_j) + (c + P b): attention's weights a_j sum to 1."""
    return bias + projection @ value_bias


def stem_table(position: Array, class_token: Array, bias: Array) -> Array:
    """[t; W * x + b] + p = [0; W * x] + [p_0 + t; p_i + b]: class token t and bias b join the positions p."""
    table = position + bias
    table[0] = position[0] + class_token
    return table


def norm_scale_into_conv(weight: Array, scale: Array) -> Array:
    """W * (g n) = (W diag(g)) * n, by input channel; zero padding stays zero padding."""
    return weight * scale[None, :, None, None]


def shift_image(weight: Array, shift: Array, side: int) -> Array:
    """W * (g n + s) = W * (g n) + W * s: this is W * s, what a 3x3, stride-2, padding-1 convolution makes of s.

    The padding holds 0 and not s, so outputs on the upper and the left border miss the taps that fall outside; on an
    even `side` none falls outside below or on the right. Returns the map `(side/2 * side/2, out)`, row by row.
    """
    taps = np.einsum("oiyx,i->yxo", weight, shift, optimize=True)
    half = side // 2
    image = np.empty((half, half, len(weight)), np.float32)
    image[1:, 1:] = taps.sum((0, 1))
    image[0, 1:] = taps[1:].sum((0, 1))
    image[1:, 0] = taps[:, 1:].sum((0, 1))
    image[0, 0] = taps[1:, 1:].sum((0, 1))
    return image.reshape(half * half, -1)


def reduction_table(class_bias: Array, position: Array, conv_bias: Array, image: Array) -> Array:
    """[V c + d; W * n + b + W * s + p] = [V c; W * n] + [d; b + W * s + p]: one table for all that is added.

    `class_bias` is d with the norm's shift in it (`norm_shift_into_bias`), `image` is W * s (`shift_image`).
    """
    return np.concatenate([class_bias[None], position + conv_bias + image])
