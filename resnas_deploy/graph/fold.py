"""Exact folding: algebra that moves parameters into the linears, convolutions and tables around them.

Each rule is an equation that holds in real numbers; in float32 its two sides differ by rounding alone. Linears are
`(out, in)`, convolutions `(out, in, kernel, kernel)`, tables `(tokens, channels)`; all arrays are float32. In the
equations n is a LayerNorm's normalised input, g its scale and s its shift, so that the norm's output is g n + s.
"""

from __future__ import annotations

import numpy as np

from resnas_deploy.weights.checkpoint import Array


def batch_norm_factor(scale: Array, variance: Array, eps: float) -> Array:
    """Return the factor a by which batch normalisation multiplies each channel: scale / sqrt(variance + eps)."""
    factor: Array = scale / np.sqrt(variance + np.float32(eps))
    return factor


def batch_norm_into_weight(weight: Array, factor: Array) -> Array:
    """Return a W, by output channel, of a (W * x - mean) + shift = (a W) * x + (shift - a mean)."""
    return weight * factor[:, None, None, None]


def batch_norm_into_bias(factor: Array, mean: Array, shift: Array) -> Array:
    """Return shift - a mean of a (W * x - mean) + shift = (a W) * x + (shift - a mean)."""
    return shift - factor * mean


def levels_factor(std: tuple[float, float, float]) -> Array:
    """Return the factor a = 1 / (255 s) by which normalising multiplies a level u, 0 to 255.

    (u/255 - m)/s = a (u - 255 m), by channel.
    """
    return (1 / (255 * np.array(std, np.float64))).astype(np.float32)


def levels_centre(mean: tuple[float, float, float]) -> Array:
    """Return -255 m, by channel: the addend of (u/255 - m)/s = a (u - 255 m).

    It is added to the image and not to what the convolution makes of it: the convolution's padding holds 0 of the
    normalised image, and so of u - 255 m, which no constant behind the convolution could say at the borders.
    """
    return (-255 * np.array(mean, np.float64)).astype(np.float32)


def levels_into_conv(weight: Array, factor: Array) -> Array:
    """Return W diag(a), by input channel: W * (a (u - 255 m)) = (W diag(a)) * (u - 255 m), at the borders as well."""
    return weight * factor[None, :, None, None]


def norm_scale_into_linear(weight: Array, scale: Array) -> Array:
    """Return W diag(g): W (g n) = (W diag(g)) n."""
    return weight * scale


def norm_shift_into_bias(weight: Array, bias: Array, shift: Array) -> Array:
    """Return b + W s: W (g n + s) + b = W (g n) + (b + W s). `weight` is W as it was, without the norm's scale."""
    return bias + weight @ shift


def attention_scale_into_query(query: Array, head_dim: int) -> Array:
    """Divide the weight or the bias that makes q by sqrt(d): (q / sqrt(d)) . k = q . k / sqrt(d)."""
    return query * np.float32(head_dim**-0.5)


def without_key_bias(qkv_bias: Array) -> tuple[Array, Array]:
    """Return the biases of q and of v; that of k, the norm's shift in it included, is dropped.

    softmax_j(q . (k_j + b)) = softmax_j(q . k_j): q . b is the same for every j, and softmax ignores what all share.
    """
    query, _, value = np.split(qkv_bias, 3)
    return query, value


def value_bias_into_projection(projection: Array, bias: Array, value_bias: Array) -> Array:
    """Return c + P b: P (sum_j a_j (v_j + b)) + c = P (sum_j a_j v_j) + (c + P b), since the weights a_j sum to 1."""
    return bias + projection @ value_bias


def stem_table(position: Array, class_token: Array, bias: Array) -> Array:
    """Return [p_0 + t; p_i + b], class token t and bias b in the positions p.

    [t; W * x + b] + p = [0; W * x] + [p_0 + t; p_i + b].
    """
    table = position + bias
    table[0] = position[0] + class_token
    return table


def norm_scale_into_conv(weight: Array, scale: Array) -> Array:
    """Return W diag(g), by input channel: W * (g n) = (W diag(g)) * n; zero padding stays zero padding."""
    return weight * scale[None, :, None, None]


def shift_image(weight: Array, shift: Array, side: int) -> Array:
    """Return W * s of W * (g n + s) = W * (g n) + W * s: what a 3x3, stride-2, padding-1 convolution makes of s.

    The padding holds 0 and not s, so outputs on the upper and the left border miss the taps that fall outside; below
    and on the right taps fall outside of an odd `side` alone. Return the map `(half * half, out)`, row by row, where
    half is side / 2, rounded up.
    """
    taps = np.einsum("oiyx,i->yxo", weight, shift, optimize=True)
    half = (side + 1) // 2
    image = np.empty((half, half, len(weight)), np.float32)
    # Places along an axis with the taps that fall inside there, later ones over earlier ones.
    inside = [(slice(1, None), slice(3)), (slice(1), slice(1, 3))]
    if side % 2:
        inside.append((slice(half - 1, half), slice(1 if side == 1 else 0, 2)))
    for rows, vertical in inside:
        for columns, horizontal in inside:
            image[rows, columns] = taps[vertical, horizontal].sum((0, 1))
    return image.reshape(half * half, -1)


def reduction_table(class_bias: Array, position: Array, conv_bias: Array, image: Array) -> Array:
    """Return [d; b + W * s + p], one table for all that is added.

    [V c + d; W * n + b + W * s + p] = [V c; W * n] + [d; b + W * s + p].
    `class_bias` is d with the norm's shift in it (`norm_shift_into_bias`), `image` is W * s (`shift_image`).
    """
    return np.concatenate([class_bias[None], position + conv_bias + image])
