from __future__ import annotations

import numpy as np
import pytest

from resnas_deploy.errors import BadInput
from resnas_deploy.precision import PRECISIONS


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
    with pytest.raises(BadInput, match=r"must fit fp16 \(at most 65504\), found 1e\+06 in head\.linear\.weight"):
        PRECISIONS["fp16"].cast(np.array([1, -1e6], np.float32), "head.linear.weight")


@pytest.mark.parametrize("name", PRECISIONS)
def test_largest_is_the_largest(name):
    precision = PRECISIONS[name]
    assert np.isfinite(np.float64(precision.largest).astype(precision.dtype))
    with np.errstate(over="ignore"):
        assert not np.isfinite(np.float64(precision.largest * 1.01).astype(precision.dtype))
