"""PyTorch's settings that hold for the whole process, and that are as before when work with others is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch

from resnas_deploy.processes.settings import ProcessSetting


def _flag(owner: object, name: str) -> ProcessSetting[bool]:
    def read() -> bool:
        return bool(getattr(owner, name))

    return ProcessSetting(read, lambda value: setattr(owner, name, value))


_THREADS = ProcessSetting(torch.get_num_threads, torch.set_num_threads)
_DEVICE = ProcessSetting(torch.cuda.current_device, torch.cuda.set_device)
_TUNED = _flag(torch.backends.cudnn, "benchmark")
# Else convolutions in fp32 are rounded to TF32's 10 bits; matrix products are not, unless one asks for it.
_CONVOLUTIONS = _flag(torch.backends.cudnn, "allow_tf32")
_TF32 = (_CONVOLUTIONS, _flag(torch.backends.cuda.matmul, "allow_tf32"))
_EXACT = (
    _CONVOLUTIONS,
    # Else partial sums of fp16 and bf16 products are added in that type, which no verification looks at.
    _flag(torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction"),
    _flag(torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction"),
)


def torch_threads(count: int) -> AbstractContextManager[None]:
    """Let PyTorch compute with so many threads on the CPU."""
    return _THREADS.at(count)


@contextmanager
def exact_on(device: torch.device) -> Iterator[None]:
    """Make a GPU the current one, and let it compute in the types that a network says, unrounded."""
    with ExitStack() as settings:
        settings.enter_context(_DEVICE.at(device.index or 0))
        for flag in _EXACT:
            settings.enter_context(flag.at(False))
        yield


def tuned_convolutions() -> AbstractContextManager[None]:
    """Let cuDNN time its algorithms on each new shape, and keep the fastest (`torch.backends.cudnn.benchmark`)."""
    return _TUNED.at(True)


@contextmanager
def tf32_at(allowed: bool) -> Iterator[None]:
    """Let a GPU round fp32 to TF32's 10 bits in convolutions and matrix products, or forbid it.

    PyTorch's notes "CUDA semantics", TensorFloat-32 on Ampere and later devices.
    """
    with ExitStack() as settings:
        for flag in _TF32:
            settings.enter_context(flag.at(allowed))
        yield
