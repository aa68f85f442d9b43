"""How training uses a device: copies and settings by which a GPU computes without waiting for the host.

A CUDA device works off a queue. What asks for a result, or copies from memory that may be paged out, waits for it
(PyTorch's notes "CUDA semantics", asynchronous execution and pinned memory buffers).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from resnas_deploy.runners.torch_settings import tf32_at, tuned_convolutions


@contextmanager
def training_on(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Set what training wants of a device, and set it back when the block ends.

    On CUDA cuDNN tries its algorithms on the shapes that come again each step and keeps the fastest. Products and
    convolutions in fp32 are rounded to TF32's 10 bits if `tf32`, else not at all.
    """
    with ExitStack() as settings:
        if device.type == "cuda":
            settings.enter_context(tuned_convolutions())
            settings.enter_context(tf32_at(tf32))
        yield


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on the device; a GPU's copy is queued, from pinned memory, and not waited for."""
    if device.type == "cuda" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class Later:
    """A number that a device computes, which the host reads when it needs it.

    Reading a tensor waits for all that is queued by then. So the copy is queued at once, into pinned memory (which
    `Tensor.to` takes for a copy to the CPU that does not block), and `read` waits for that copy alone.
    """

    def __init__(self, value: Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        self._value = value
        if value.device.type == "cuda":
            self._value = value.to("cpu", non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record()

    def read(self) -> float:
        """Return the number, once it is there."""
        if self._copied:
            self._copied.synchronize()
        return float(self._value)
