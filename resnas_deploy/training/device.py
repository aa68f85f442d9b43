"""The settings of a device that hold while a process trains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

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
