"""Number formats: the one table of what each is, how exact it is, and what others call it.

In `fp16` and `bf16` every weight and every operation of a graph has that type, but for what `KEPT_IN_FP32` says: it is
explicit in the graph, as strongly typed engines need. In `int8` and `fp8` the products with weights are, and the rest
of the graph is in one of the others. Nothing heavy is imported to know this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resnas_deploy.errors import BadInput, shown

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

KEPT_IN_FP32 = (
    "the input `images` and the output `logits`, cast at the graph's edge, so that every precision is called alike",
    "the mean and variance inside LayerNormalization (its attribute stash_type = 1)",
)
_LEVELS_IN_FP32 = "the subtraction of the mean from uint8 `images`, whose result is rounded once"
AROUND_QUANTISED = "fp16"  # in an engine's graph: the precision of what is not quantised
FP8 = "fp8"
NOT_FINITE = 1e9  # stands for an infinite error or share, which JSON cannot hold


@dataclass(frozen=True)
class Precision:
    """A number format."""

    name: str
    bytes: int  # of one number
    type: str  # what NumPy (or ml_dtypes) and PyTorch call it
    onnx: int  # its value of TensorProto.DataType
    tensorrt: str  # what TensorRT's log calls it
    openvino: str  # the hint that makes OpenVINO compute in it; of int8, in what is not quantised
    largest: float  # the largest finite number; of int8 as it is used, symmetrically
    tolerance: float  # of logits, relative to the largest: how far a right computation may be from float32
    quantised: bool = False  # whether it is for products with weights alone
    capability: int = 0  # the least compute capability of an NVIDIA GPU that computes in it

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type."""
        import ml_dtypes  # noqa: F401  registers the names that NumPy itself lacks
        import numpy as np

        return np.dtype(self.type)

    @property
    def torch(self) -> torch.dtype:
        """PyTorch's type."""
        import torch

        found: torch.dtype = getattr(torch, self.type)
        return found

    @property
    def wider(self) -> str:
        """The names of those with a larger range, for messages: what to export with where this one does not do."""
        others = sorted(FLOATS.values(), key=lambda other: other.largest)
        return " or ".join(other.name for other in others if other.largest > self.largest) or "fp32"

    def cast(self, values: NDArray[np.float32], name: str) -> NDArray[Any]:
        """Round `values` to nearest. Raise `BadInput` where one is too large for the format."""
        import numpy as np

        if self.dtype == values.dtype:
            return values
        with np.errstate(over="ignore"):  # found and named just below
            cast = values.astype(self.dtype)
        if not np.isfinite(cast).all():
            raise BadInput(
                f"weights must fit {self.name} (at most {self.largest:g}), found {np.abs(values).max():g} in {name}; "
                f"export with `precision` {self.wider}"
            )
        return cast


# The tolerances of lower precisions are three times the worst error measured (benchmarks/results/precision-error.json,
# docs/verification.md).
PRECISIONS: Mapping[str, Precision] = {
    precision.name: precision
    for precision in (
        Precision("fp32", 4, "float32", 1, "Float", "f32", 3.40282e38, 1e-5),
        Precision("fp16", 2, "float16", 10, "Half", "f16", 65504.0, 5e-3),
        Precision("bf16", 2, "bfloat16", 16, "BFloat16", "bf16", 3.38953e38, 4e-2, capability=80),
        Precision("int8", 1, "int8", 3, "Int8", "f32", 127.0, 0.3, quantised=True),
        Precision("fp8", 1, "float8_e4m3fn", 17, "FP8", "f32", 448.0, 0.4, quantised=True, capability=89),
    )
}
FLOATS: Mapping[str, Precision] = {name: found for name, found in PRECISIONS.items() if not found.quantised}
QUANTISED: Mapping[str, Precision] = {name: found for name, found in PRECISIONS.items() if found.quantised}
# Float32 whose products are rounded to as many bits as fp16 has: no graph says it, but a runtime may be set to it.
TF32, _LIKE_TF32 = "tf32", "fp16"


def check_precision(name: str) -> str:
    """Return `name` if a graph can have that precision. Raise `BadInput` that lists those that it can have."""
    if name not in PRECISIONS:
        raise BadInput(f"`precision` must be one of {', '.join(PRECISIONS)}, found {shown(name)}")
    return name


def precision_named(name: str) -> Precision:
    """Return the precision of a whole graph. Raise `BadInput` that lists the known ones."""
    if name not in FLOATS:
        raise BadInput(f"`precision` must be one of {', '.join(FLOATS)}, found {shown(name)}")
    return FLOATS[name]


def kept_in_fp32(precision: str, taken: str) -> tuple[str, ...]:
    """Return what a graph of that precision computes in float32 all the same, whose input is `float32` or `uint8`."""
    if precision == "fp32":
        return ()
    if taken == "float32":
        return KEPT_IN_FP32
    _, *others = KEPT_IN_FP32
    return "the output `logits`, cast at the graph's edge", _LEVELS_IN_FP32, *others


def tolerance_of(computed: str) -> float:
    """Return how large the `relative_error` of logits computed in a precision, or in `TF32`, may be."""
    return PRECISIONS[_LIKE_TF32 if computed == TF32 else computed].tolerance


def relative_error(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """Return the largest difference over the largest value wanted (or 1, if all are 0).

    It is `NOT_FINITE` where one is NaN or infinite.
    """
    error = float(abs(found - wanted).max()) / (float(abs(wanted).max()) or 1.0)
    return error if math.isfinite(error) else NOT_FINITE
