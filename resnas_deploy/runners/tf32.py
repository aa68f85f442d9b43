"""TF32: float32 whose factors a GPU rounds to 10 bits. Off wherever fp32 is promised; `tf32` asks for it.

TensorRT, cuDNN and ONNX Runtime have it on of themselves. Above what each is told stands the variable
NVIDIA_TF32_OVERRIDE, which NVIDIA's libraries read: 0 turns it off in all of them, and any other value is reserved
(TensorRT's developer guide, "TF32 inference": "any other setting besides 0 is reserved for future use").
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.precision import PRECISIONS, TF32
from resnas_deploy.processes.settings import variable
from resnas_deploy.system import here

OVERRIDE = "NVIDIA_TF32_OVERRIDE"
OFF = "0"
FP32 = "fp32"
_VARIABLE = variable(OVERRIDE)
_TENSORRT = "libnvinfer.so"
_first_seen: dict[str, str | None] = {}  # by TensorRT in this process: the variable when it was first used


def may_have_float32(precision: str) -> bool:
    """Whether a graph of that precision may compute in float32 somewhere; around int8 and fp8 lies float32 or fp16."""
    return precision == FP32 or PRECISIONS[precision].quantised


def computed(precision: str, *, tf32: bool) -> str:
    """Return the precision that a graph is computed in where float32 may be rounded, or may not."""
    return TF32 if tf32 and precision == FP32 else precision


def check_rounds(precision: str, kept_in: str) -> None:
    """Raise `BadInput` where nothing is float32 for `tf32` to round, of a graph whose rest is `kept_in` a precision."""
    if kept_in != FP32:
        raise BadInput(f"`tf32` rounds what is computed in float32, and nothing of {precision} is; leave `tf32` out")


def check_override(*, tf32: bool, environment: Mapping[str, str] = os.environ) -> None:
    """Raise `BadInput` where the environment makes another thing of float32 on a GPU than was asked for."""
    said = environment.get(OVERRIDE)
    if said == OFF and tf32:
        raise BadInput(
            f"`tf32` must come without {OVERRIDE}=0 in the environment, which turns TF32 off in all of NVIDIA's "
            "libraries; unset the one, or leave the other out"
        )
    if said not in (None, OFF) and not tf32:
        raise BadInput(
            f"{OVERRIDE} must be unset or 0 where float32 is computed on a GPU, found {shown(said)}, with which "
            "NVIDIA's libraries may round it to TF32; unset it, or ask for that with `tf32`"
        )


@contextmanager
def tensorrt_in_this_process(*, tf32: bool) -> Iterator[bool]:
    """Have the variable say what TensorRT is to do within the block, and yield whether it may round float32.

    This is for ONNX Runtime's TensorRT provider, which builds here and has no option for it; the variable keeps the
    value that the first session found (https://github.com/microsoft/onnxruntime/issues/26029). Raise `BadInput` where
    TF32 is asked for and was off then.
    """
    wanted = None if tf32 else OFF
    if _TENSORRT not in _first_seen:
        _first_seen[_TENSORRT] = wanted if here.has_loaded(_TENSORRT) is False else os.environ.get(OVERRIDE)
    rounds = _first_seen[_TENSORRT] != OFF
    if tf32 and not rounds:
        raise BadInput(
            "`tf32` must be asked for before TensorRT is used without it in one process, found it used: it reads "
            f"{OVERRIDE} once; run this in a process of its own"
        )
    with _VARIABLE.at(wanted):
        yield rounds
