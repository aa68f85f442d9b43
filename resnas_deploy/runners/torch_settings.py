"""PyTorch's settings that hold for the whole process, and that are as before when work with others is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from resnas_deploy.processes.settings import ProcessSetting
from resnas_deploy.runners.devices import CPU
from resnas_deploy.runners.tf32 import check_override

_EXACTLY, _ROUNDED, _AS_ABOVE = "ieee", "tf32", "none"  # of `fp32_precision`; the last: as the level above says
_CPU = torch.device(CPU)


def _flag(owner: object, name: str) -> ProcessSetting[bool]:
    def read() -> bool:
        return bool(getattr(owner, name))

    return ProcessSetting(read, lambda value: setattr(owner, name, value))


_THREADS = ProcessSetting(torch.get_num_threads, torch.set_num_threads)
_DEVICE = ProcessSetting(torch.cuda.current_device, torch.cuda.set_device)
_TUNED = _flag(torch.backends.cudnn, "benchmark")
# Else partial sums of fp16 and bf16 products are added in that type, which no verification looks at.
_WIDE_SUMS = tuple(
    _flag(torch.backends.cuda.matmul, f"allow_{name}")
    for name in ("fp16_reduced_precision_reduction", "bf16_reduced_precision_reduction", "fp16_accumulation")
)


@dataclass(frozen=True)
class _Fp32:
    """How PyTorch computes products and convolutions of float32, by both of its interfaces.

    The older one (`allow_tf32`, `set_float32_matmul_precision`) cannot be read where somebody has used the newer one
    (`fp32_precision`) for something else: then what it says is None, and stays as it is. What is computed follows the
    newer one. PyTorch's notes "CUDA semantics", TensorFloat-32 on Ampere and later devices.
    """

    products: str | None  # highest, high or medium
    convolutions: bool | None  # cuDNN's: whether they may be rounded
    operations: tuple[str, ...]  # `fp32_precision` of each of `_operations`


def _operations() -> tuple[Any, ...]:
    """Return what has an `fp32_precision`. The first one stands above the convolutions of cuDNN; compilers read it."""
    cudnn, products, cpu = torch.backends.cudnn, torch.backends.cuda.matmul, torch.backends.mkldnn
    return cudnn, cudnn.conv, cudnn.rnn, products, cpu.matmul, cpu.conv  # type: ignore[attr-defined]  # torch's own lack


def _read_fp32() -> _Fp32:
    try:
        products: str | None = torch.get_float32_matmul_precision()
    except RuntimeError:  # the newer interface says something else of a product
        products = None
    try:
        convolutions: bool | None = torch.backends.cudnn.allow_tf32
    except RuntimeError:
        convolutions = None
    return _Fp32(products, convolutions, tuple(operation.fp32_precision for operation in _operations()))


def _write_fp32(wanted: _Fp32) -> None:
    if wanted.products is not None:
        torch.set_float32_matmul_precision(wanted.products)
    if wanted.convolutions is not None:
        torch.backends.cudnn.allow_tf32 = wanted.convolutions
    for operation, precision in zip(_operations(), wanted.operations, strict=True):
        if operation.fp32_precision != precision:
            operation.fp32_precision = _AS_ABOVE  # as it is unless somebody has said otherwise
            if operation.fp32_precision != precision:
                operation.fp32_precision = precision


_FP32 = ProcessSetting(_read_fp32, _write_fp32)
_EXACT = _Fp32("highest", convolutions=False, operations=(_EXACTLY,) * 6)
_TF32 = _Fp32("high", convolutions=True, operations=(*(_ROUNDED,) * 5, _EXACTLY))


def torch_threads(count: int) -> AbstractContextManager[None]:
    """Let PyTorch compute with so many threads on the CPU."""
    return _THREADS.at(count)


@contextmanager
def exact_on(device: torch.device = _CPU, *, tf32: bool = False) -> Iterator[None]:
    """Let a device compute in the types that a network says, unrounded; with `tf32` let a GPU round float32 to TF32.

    A GPU becomes the current one. Without this, convolutions are rounded on a GPU, and whatever else somebody has
    allowed for the process is, on a CPU too. Raise `BadInput` where the environment decides otherwise.
    """
    with ExitStack() as settings:
        if device.type != CPU:
            check_override(tf32=tf32)
            settings.enter_context(_DEVICE.at(device.index or 0))
            for flag in _WIDE_SUMS:
                settings.enter_context(flag.at(False))
        settings.enter_context(tf32_at(tf32 and device.type != CPU))
        yield


def tuned_convolutions() -> AbstractContextManager[None]:
    """Let cuDNN time its algorithms on each new shape, and keep the fastest (`torch.backends.cudnn.benchmark`)."""
    return _TUNED.at(True)


def tf32_at(allowed: bool) -> AbstractContextManager[None]:
    """Let a GPU round fp32 to TF32's 10 bits in convolutions and matrix products, or forbid it."""
    return _FP32.at(_TF32 if allowed else _EXACT)
