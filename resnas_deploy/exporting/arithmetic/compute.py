"""The operators of emitted graphs, each in the arithmetic of its own type, for `evaluate`.

A value is held in its graph's type. An operator computes in float32 on what it is given and rounds its result to that
type, which is what tensor cores do: products in the type, sums in float32, one rounding at the end. Where the standard
makes an operator of several (https://onnx.ai/onnx/operators, opset 23), each of those rounds as well:

- Attention: scaled q and k, the scores, their sums with a mask, the weights (the softmax's output), and the weighted
  sum. The scores have the graph's type whatever `softmax_precision` says: the standard casts them after the product.
- LayerNormalization: mean, variance and division in float32 (`stash_type` = 1), then the product and the sum.
- QuantizeLinear: the quotient has the scale's type; the integer, or float8, is what the standard saturates it to.

Softmax and GELU compute inside in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from onnx import TensorProto
from torch import Tensor

from resnas_deploy.exporting.arithmetic.call import DTYPES, REAL, Call, Outputs, dtype_of


def _add(call: Call) -> Outputs:
    return call.rounded(call.real(0) + call.real(1))


def _mul(call: Call) -> Outputs:
    return call.rounded(call.real(0) * call.real(1))


def _matmul(call: Call) -> Outputs:
    return call.rounded(call.real(0) @ call.real(1))


def _relu(call: Call) -> Outputs:
    return call.rounded(call.real(0).relu())


def _mean(call: Call) -> Outputs:
    values = call.every()
    total = values[0].clone()
    for more in values[1:]:
        total += more
    return call.rounded(total / len(values))


def _reduce_mean(call: Call) -> Outputs:
    call.must_be("noop_with_empty_axes", 0)
    keep = bool(call.integer("keepdims", 1))
    return call.rounded(call.real(0).mean(call.ints(1), keepdim=keep))


def _average_pool(call: Call) -> Outputs:
    x = call.real(0)
    call.must_be("auto_pad", b"NOTSET")
    call.must_be("count_include_pad", 0)
    if any(call.whole("pads", [0] * 4)) or call.whole("dilations", [1, 1]) != [1, 1]:
        raise call.refuse("with pads or dilations")
    size, strides = call.whole("kernel_shape", []), call.whole("strides", [1, 1])
    return call.rounded(F.avg_pool2d(x, size, strides, ceil_mode=bool(call.integer("ceil_mode", 0))))


def _gelu(call: Call) -> Outputs:
    call.must_be("approximate", b"none")
    return call.rounded(F.gelu(call.real(0)))


def _softmax(call: Call) -> Outputs:
    return call.rounded(call.real(0).softmax(call.integer("axis", -1)))


def _gemm(call: Call) -> Outputs:
    a, b = call.real(0), call.real(1)
    a, b = (value.T if call.integer(name, 0) else value for value, name in ((a, "transA"), (b, "transB")))
    found = call.number("alpha", 1.0) * (a @ b)
    beta = call.number("beta", 1.0)
    return call.rounded(found + beta * call.real(2) if call.has(2) else found)


def _conv(call: Call) -> Outputs:
    x, weight = call.real(0), call.real(1)
    bias = call.real(2) if call.has(2) else None
    call.must_be("auto_pad", b"NOTSET")
    call.take("kernel_shape")  # the weight has it
    ones = [1] * (x.ndim - 2)
    if len(ones) != 2:
        raise call.refuse(f"of {len(ones)} dimensions")
    top, left, bottom, right = call.whole("pads", [0] * 4)
    x = F.pad(x, (left, right, top, bottom))
    strides, dilations = call.whole("strides", ones), call.whole("dilations", ones)
    return call.rounded(F.conv2d(x, weight, bias, strides, 0, dilations, call.integer("group", 1)))


def _layer_normalization(call: Call) -> Outputs:
    x = call.real(0)
    call.must_be("stash_type", TensorProto.FLOAT)
    call.must_be("axis", -1, x.ndim - 1)
    centred = x - x.mean(-1, keepdim=True)
    variance = call.rounded_to(centred.square().mean(-1, keepdim=True), torch.float32, "variance")
    normed = call.rounded(centred * (variance + call.number("epsilon", 1e-5)).rsqrt(), "normalised")
    scaled = call.rounded(normed.float() * call.real(1))
    return call.rounded(scaled.float() + call.real(2)) if call.has(2) else scaled


def _attention(call: Call) -> Outputs:
    for name in ("is_causal", "qk_matmul_output_mode"):
        call.must_be(name, 0)
    call.must_be("softcap", 0.0)
    call.must_be("softmax_precision", *DTYPES)  # what is computed in more than the graph's type is rounded to it
    heads = call.integer("q_num_heads", 0)
    call.must_be("kv_num_heads", heads)
    query, key, value = (_by_head(call, number, heads) for number in range(3))
    factor = math.sqrt(call.number("scale", 1 / math.sqrt(query.shape[-1])))
    if factor != 1:
        query = call.rounded(query * factor, "scaled_query").float()
        key = call.rounded(key * factor, "scaled_key").float()
    scores = call.rounded(query @ key.transpose(-1, -2), "scores").float()
    if call.has(3):  # a mask of numbers, which is added: what it hides may be of any size, and the rest is as it was
        scores = call.rounded(scores + call.real(3), "masked_scores", saturates=True).float()
    weights = call.rounded(scores.softmax(-1), "weights").float()
    found = call.rounded(weights @ value)
    return found.transpose(1, 2).flatten(2) if call.given(0).ndim == 3 else found


def _by_head(call: Call, number: int, heads: int) -> Tensor:
    """Return query, key or value as `(B, heads, T, head_dim)`; it may be given as `(B, T, heads * head_dim)`."""
    x = call.real(number)
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) if x.ndim == 3 else x


def _cast(call: Call) -> Outputs:
    to = dtype_of(call.integer("to", 0))
    if to not in REAL:
        raise call.refuse(f"to {to}")
    levels = call.given(0)
    return call.rounded_to(levels.float() if levels.dtype == torch.uint8 else call.real(0), to)


def _quantize(call: Call) -> Outputs:
    for name in ("block_size", "output_dtype", "precision"):
        call.must_be(name, 0)
    call.must_be("saturate", 1)
    x, scale, zero = call.real(0), call.real(1), call.given(2)
    axis = call.integer("axis", 1)
    quotient = call.rounded(x / _along(scale, axis, x.ndim), "quotient", like=1, saturates=True).float()
    if zero.dtype == torch.float8_e4m3fn:
        most = torch.finfo(zero.dtype).max
        return quotient.clamp(-most, most).to(zero.dtype)
    limits = torch.iinfo(zero.dtype)
    shifted = quotient.round() + _along(zero.float(), axis, x.ndim)  # to even, as the standard rounds
    return shifted.nan_to_num(0).clamp(limits.min, limits.max).to(zero.dtype)


def _dequantize(call: Call) -> Outputs:
    for name in ("block_size", "output_dtype"):
        call.must_be(name, 0)
    x, scale, axis = call.given(0).float(), call.real(1), call.integer("axis", 1)
    if call.has(2):
        x = x - _along(call.given(2).float(), axis, x.ndim)
    return call.rounded(x * _along(scale, axis, x.ndim), like=1)


def _along(values: Tensor, axis: int, rank: int) -> Tensor:
    """Return a scale or zero point, of the whole tensor or one for each index of an axis."""
    if values.numel() == 1:
        return values.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def _matmul_integer_to_float(call: Call) -> Outputs:
    left, right = (
        call.given(number).float() - (call.given(4 + number).float() if call.has(4 + number) else 0)
        for number in range(2)
    )
    found = (left @ right) * (call.real(2) * call.real(3))
    return call.rounded(found + call.real(6) if call.has(6) else found, like=2)


COMPUTING: Mapping[str, Callable[[Call], Outputs]] = {
    "Add": _add,
    "Attention": _attention,
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Conv": _conv,
    "DequantizeLinear": _dequantize,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "LayerNormalization": _layer_normalization,
    "MatMul": _matmul,
    "MatMulIntegerToFloat": _matmul_integer_to_float,
    "Mean": _mean,
    "Mul": _mul,
    "QuantizeLinear": _quantize,
    "ReduceMean": _reduce_mean,
    "Relu": _relu,
    "Softmax": _softmax,
}
