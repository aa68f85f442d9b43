"""PyTorch's settings that hold for the whole process, and that are as before when work with others is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_EXACT: tuple[tuple[Any, str], ...] = (
    # Else convolutions in fp32 are rounded to TF32's 10 bits; matrix products are not, unless one asks for it.
    (torch.backends.cudnn, "allow_tf32"),
    # Else partial sums of fp16 and bf16 products are added in that type, which no verification looks at.
    (torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction"),
    (torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction"),
)


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch compute with so many threads on the CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def exact_on(device: torch.device) -> Iterator[None]:
    """Make a GPU the current one, and let it compute in the types that a network says, unrounded."""
    before = [getattr(place, name) for place, name in _EXACT]
    try:
        with torch.cuda.device(device):
            for place, name in _EXACT:
                setattr(place, name, False)
            yield
    finally:
        for (place, name), value in zip(_EXACT, before, strict=True):
            setattr(place, name, value)
