"""What passes between the host and the device without either waiting for the other.

A GPU works off a queue. Whoever asks for a result, or copies from memory that may be paged out, waits for all of it
(https://docs.pytorch.org/docs/stable/notes/cuda.html#asynchronous-execution, #use-pinned-memory-buffers).
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on the device, as `moved` does."""
    return moved(torch.from_numpy(array), device)


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the host on the device. A GPU's is copied from page-locked memory, behind what is queued."""
    if device.type == "cuda" and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


class Later:
    """A number that a device computes and the host reads when it needs it.

    Reading a tensor waits for all that is queued by then. So a GPU's is copied at once, without waiting, to page-locked
    memory (which `Tensor.to` takes for such a copy), and `read` waits for that copy alone.
    """

    def __init__(self, value: Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        self._value = value
        if value.device.type == "cuda":
            self._value = value.to("cpu", non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch's own lack
            self._copied.record()

    def read(self) -> float:
        """Return the number, once it is there."""
        if self._copied:
            self._copied.synchronize()
        return float(self._value)
