"""The precisions of an emitted graph. They are explicit in the graph, as strongly typed engines need.

In `fp16` and `bf16` every weight and every operation has that type, but for what `KEPT_IN_FP32` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from resnas_deploy.errors import BadInput, shown

KEPT_IN_FP32 = (
    "the input `images` and the output `logits`, cast at the graph's edge, so that every precision is called alike",
    "the mean and variance inside LayerNormalization (its attribute stash_type = 1)",
)


@dataclass(frozen=True)
class Precision:
    """A number format. `onnx` is the value of `TensorProto.DataType`."""

    name: str
    onnx: int
    dtype: np.dtype[Any]
    largest: float  # the largest finite number

    def cast(self, values: NDArray[np.float32], name: str) -> NDArray[Any]:
        """`values` rounded to nearest. Raises `BadInput` where one is too large for the format."""
        if self.dtype == values.dtype:
            return values
        with np.errstate(over="ignore"):  # found and named just below
            cast = values.astype(self.dtype)
        if not np.isfinite(cast).all():
            raise BadInput(
                f"weights must fit {self.name} (at most {self.largest:g}), found "
                f"{np.abs(values).max():g} in {name}; export with --precision fp32 or bf16"
            )
        return cast


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("fp32", TensorProto.FLOAT, np.dtype(np.float32), 3.40282e38),
        Precision("fp16", TensorProto.FLOAT16, np.dtype(np.float16), 65504.0),
        Precision("bf16", TensorProto.BFLOAT16, np.dtype(ml_dtypes.bfloat16), 3.38953e38),
    )
}


QUANTISED = ("int8", "fp8")  # of products with weights; the rest of such a graph is in a precision above


def check_precision(name: str) -> str:
    """`name` if a graph can have that precision. Raises `BadInput` that lists those that it can have."""
    if name not in PRECISIONS and name not in QUANTISED:
        raise BadInput(f"a precision must be one of {', '.join((*PRECISIONS, *QUANTISED))}, found {shown(name)}")
    return name


def precision_named(name: str) -> Precision:
    """The precision of that name. Raises `BadInput` that lists the known ones."""
    if name not in PRECISIONS:
        raise BadInput(f"a precision must be one of {', '.join(PRECISIONS)}, found {shown(name)}")
    return PRECISIONS[name]
