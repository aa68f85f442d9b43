"""Small arrays that are made on the host and used on the device, without either waiting for the other."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return an array as a tensor on the device.

    To a GPU it is copied out of page-locked memory, so that the copy is queued behind what the GPU still computes and
    the host goes on (https://docs.pytorch.org/docs/stable/notes/cuda.html#use-pinned-memory-buffers).
    """
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
