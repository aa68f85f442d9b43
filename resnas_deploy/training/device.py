"""What a device is set to while a process trains, and how it reads images."""

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


def laid_out(images: Tensor) -> Tensor:
    """Return images `(B, 3, S, S)` as the stem's convolutions read them fastest: on CUDA with channels last.

    cuDNN's convolutions on tensor cores want channels last, and keep that order from one layer to the next
    (https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html).
    """
    return images.contiguous(memory_format=torch.channels_last) if images.device.type == "cuda" else images
