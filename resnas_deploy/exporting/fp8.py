"""float8 e4m3, made of a symmetric int8 QDQ graph.

ONNX Runtime's own fp8 takes one scale for a whole weight, from its standard deviation, and clips beyond it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from resnas_deploy.precision import QUANTISED

_INT8, _FP8 = QUANTISED["int8"], QUANTISED["fp8"]


def to_fp8(model: ModelProto, originals: Mapping[str, TensorProto]) -> None:
    """Turn a symmetric int8 QDQ graph into float8 e4m3: the same ranges in other steps, weights rounded anew."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    done: set[str] = set()

    def first_time(name: str) -> bool:
        fresh = name not in done
        done.add(name)
        return fresh

    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        value, scale, zero = node.input
        if first_time(scale):
            steps = numpy_helper.to_array(tensors[scale])
            rescaled = not_below(steps.astype(np.float32) * np.float32(_INT8.largest / _FP8.largest), steps.dtype)
            tensors[scale].CopyFrom(numpy_helper.from_array(rescaled, scale))
        if first_time(zero):
            tensors[zero].CopyFrom(_fp8(zero, np.zeros(tuple(tensors[zero].dims), np.float32)))
        if value in tensors and first_time(value):
            weight = numpy_helper.to_array(originals[value.removesuffix("_quantized")]).astype(np.float32)
            shape = [1] * weight.ndim
            shape[next(attribute.i for attribute in node.attribute if attribute.name == "axis")] = -1
            steps = numpy_helper.to_array(tensors[scale]).astype(np.float32).reshape(shape)
            tensors[value].CopyFrom(_fp8(value, np.clip(weight / steps, -_FP8.largest, _FP8.largest)))


def not_below(steps: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the steps in a type: to nearest, but never to 0, and where the type has few bits left, never to less."""
    rounded = steps.astype(dtype)
    limits = np.finfo(dtype)
    short = (rounded.astype(np.float32) < steps) & (rounded < limits.tiny)
    return np.where(short, np.nextafter(rounded, limits.max), rounded)


def _fp8(name: str, values: Any) -> TensorProto:
    rounded = values.astype(_FP8.dtype)
    return helper.make_tensor(name, _FP8.onnx, rounded.shape, rounded.tobytes(), raw=True)
