"""The table of number formats against those who define them, and the casts and errors that it makes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from resnas_deploy.errors import BadInput
from resnas_deploy.precision import (
    FLOATS,
    NOT_FINITE,
    PRECISIONS,
    QUANTISED,
    TF32,
    check_precision,
    precision_named,
    relative_error,
    tolerance_of,
)

ONNX = {"fp32": "FLOAT", "fp16": "FLOAT16", "bf16": "BFLOAT16", "int8": "INT8", "fp8": "FLOAT8E4M3FN"}


def test_each_is_of_a_whole_graph_or_quantised():
    assert list(FLOATS) == ["fp32", "fp16", "bf16"]
    assert list(QUANTISED) == ["int8", "fp8"]
    assert {**FLOATS, **QUANTISED} == PRECISIONS


@pytest.mark.parametrize("name", PRECISIONS)
def test_onnx_numpy_and_torch_mean_the_same(name):
    known = PRECISIONS[name]
    assert known.name == name
    assert known.onnx == TensorProto.DataType.Value(ONNX[name])
    assert helper.tensor_dtype_to_np_dtype(known.onnx) == known.dtype
    assert known.bytes == known.dtype.itemsize == known.torch.itemsize
    assert known.type in (str(known.dtype), str(known.torch).removeprefix("torch."))


def test_fp32_is_not_copied():
    values = np.ones(3, np.float32)
    assert PRECISIONS["fp32"].cast(values, "w") is values


@pytest.mark.parametrize(("name", "step"), [("fp16", 2**-11), ("bf16", 2**-8)])
def test_rounds_to_nearest(name, step):
    values = np.random.default_rng(0).uniform(1, 2, 1000).astype(np.float32)
    cast = PRECISIONS[name].cast(values, "w")
    assert cast.dtype == PRECISIONS[name].dtype
    assert np.abs(cast.astype(np.float32) - values).max() <= step


def test_a_weight_too_large_for_the_format_is_refused():
    wanted = r"must fit fp16 \(at most 65504\), found 1e\+06 in head\.linear\.weight; .* `precision` bf16 or fp32$"
    with pytest.raises(BadInput, match=wanted):
        PRECISIONS["fp16"].cast(np.array([1, -1e6], np.float32), "head.linear.weight")
    with pytest.raises(BadInput, match=r"`precision` fp32$"):
        PRECISIONS["bf16"].cast(np.array([3.4e38], np.float32), "w")


@pytest.mark.parametrize("name", [*FLOATS, "fp8"])
def test_largest_is_the_largest(name):
    precision = PRECISIONS[name]
    assert np.isfinite(np.float64(precision.largest).astype(precision.dtype).astype(np.float64))
    with np.errstate(over="ignore"):
        assert not np.isfinite(np.float64(precision.largest * 1.05).astype(precision.dtype).astype(np.float64))


def test_int8_is_used_symmetrically():
    assert PRECISIONS["int8"].largest == np.iinfo(np.int8).max


def test_the_tolerances():
    """They are in manifests, reports and documents: who changes one changes what artifacts claim."""
    wanted = {"fp32": 1e-5, "tf32": 5e-3, "fp16": 5e-3, "bf16": 4e-2, "int8": 0.3, "fp8": 0.4}
    assert {name: tolerance_of(name) for name in (*PRECISIONS, TF32)} == wanted


@pytest.mark.parametrize(
    ("found", "wanted", "error"),
    [
        ([1, 2], [1, 2], 0),
        ([1, -3], [1, -4], 0.25),
        ([0.5], [0], 0.5),
        ([np.nan, 1], [1, 1], NOT_FINITE),
        ([np.inf, 1], [1, 1], NOT_FINITE),
    ],
)
def test_relative_error(found, wanted, error):
    assert relative_error(np.array(found, np.float32), np.array(wanted, np.float32)) == error


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(BadInput, match="one of fp32, fp16, bf16, int8, fp8, found 'fp64'"):
        check_precision("fp64")
    with pytest.raises(BadInput, match="one of fp32, fp16, bf16, found 'int8'"):
        precision_named("int8")
