"""The operators of emitted graphs that move values and compute none, so that nothing is rounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from onnx import TensorProto

from resnas_deploy.exporting.arithmetic.call import Call, Outputs, tensor_of

_TO_THE_END = 2**31  # no dimension is as long


def _reshape(call: Call) -> Outputs:
    x, shape = call.given(0), call.ints(1)
    call.must_be("allowzero", 0)
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)])


def _transpose(call: Call) -> Outputs:
    x = call.given(0)
    return x.permute(call.whole("perm", range(x.ndim)[::-1]))


def _concat(call: Call) -> Outputs:
    values = [call.given(number) for number in range(len(call.node.input))]
    return torch.cat(values, call.integer("axis", 0))


def _squeeze(call: Call) -> Outputs:
    return call.given(0).squeeze(call.ints(1))


def _pad(call: Call) -> Outputs:
    x, pads, mode = call.given(0), call.ints(1), call.take("mode", b"constant")
    ends = list(zip(pads[: x.ndim], pads[x.ndim :], strict=True))
    if mode not in (b"constant", b"edge"):
        raise call.refuse(f"with mode = {mode!r}")
    if mode == b"constant":
        return F.pad(x, [size for pair in reversed(ends) for size in pair])
    for axis, (before, after) in enumerate(ends):
        if before or after:
            size = x.shape[axis]
            x = x.index_select(axis, torch.arange(-before, size + after).clamp(0, size - 1))
    return x


def _gather(call: Call) -> Outputs:
    x, indices = call.given(0), call.given(1)
    if indices.ndim != 1:
        raise call.refuse("by indices that are no list")
    return x.index_select(call.integer("axis", 0), indices)


def _slice(call: Call) -> Outputs:
    x, starts, ends = call.given(0), call.ints(1), call.ints(2)
    axes = call.ints(3) if call.has(3) else list(range(len(starts)))
    steps = call.ints(4) if call.has(4) else [1] * len(starts)
    if min(steps) < 1:
        raise call.refuse("backwards")
    where = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        where[axis] = slice(start, min(end, _TO_THE_END), step)
    return x[tuple(where)]


def _split(call: Call) -> Outputs:
    x, axis = call.given(0), call.integer("axis", 0)
    parts = call.integer("num_outputs", len(call.node.output))
    return torch.split(x, call.ints(1) if call.has(1) else math.ceil(x.shape[axis] / parts), axis)


def _constant(call: Call) -> Outputs:
    if (values := call.take("value_ints")) is not None:
        return torch.tensor(list(cast(Sequence[int], values)), dtype=torch.int64)
    if (value := call.take("value")) is not None:
        return tensor_of(cast(TensorProto, value))
    raise call.refuse("of another kind")


MOVING: Mapping[str, Callable[[Call], Outputs]] = {
    "Concat": _concat,
    "Constant": _constant,
    "Gather": _gather,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
}
