"""PyTorch's settings for the whole process, which are as they were when what needed them is over."""

from __future__ import annotations

from contextlib import ExitStack

import torch

from resnas_deploy.processes.settings import Setting


def _flag(owner: object, name: str) -> Setting[bool]:
    def read() -> bool:
        return bool(getattr(owner, name))

    return Setting(read, lambda value: setattr(owner, name, value))


THREADS = Setting(torch.get_num_threads, torch.set_num_threads)  # of the CPU
_DEVICE = Setting(torch.cuda.current_device, torch.cuda.set_device)
# Else convolutions in fp32 are rounded to TF32's 10 bits; matrix products are not, unless one asks for it.
_CONVOLUTIONS = _flag(torch.backends.cudnn, "allow_tf32")
# Else partial sums of fp16 and bf16 products are added in that type, which no verification looks at.
_SUMS = tuple(
    _flag(torch.backends.cuda.matmul, f"allow_{name}_reduced_precision_reduction") for name in ("fp16", "bf16")
)


def exact_on(device: torch.device) -> ExitStack:
    """Compute on that GPU, and no less exactly than the types say, until the stack is closed."""
    stack = ExitStack()
    stack.enter_context(_DEVICE.at(device.index or 0))
    for flag in (_CONVOLUTIONS, *_SUMS):
        stack.enter_context(flag.at(False))
    return stack
