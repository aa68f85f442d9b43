"""When two computations of one network are the same: the error between their logits, and how large it may be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.artifact.headroom import NOT_FINITE

# Lower precisions: three times the worst error measured (results/precision-error.json, docs/verification.md).
# TF32, which a runtime may be set to from outside, rounds to as many bits as fp16.
TOLERANCES = {"fp32": 1e-5, "tf32": 5e-3, "fp16": 5e-3, "bf16": 4e-2, "int8": 0.3, "fp8": 0.4}


def relative_error(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """The largest difference over the largest value wanted (or 1, if all are 0); `NOT_FINITE` where one is not."""
    error = float(np.abs(found - wanted).max()) / (float(np.abs(wanted).max()) or 1.0)
    return error if np.isfinite(error) else NOT_FINITE
