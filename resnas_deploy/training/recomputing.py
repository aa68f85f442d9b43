"""Activation checkpointing: a part of a network keeps its inputs alone; the rest is computed again on the way back.

The cost is another pass forward (arXiv 1604.06174). Nothing inside draws random numbers, so that the same comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Through(Protocol):
    """Calls a part of a network with its arguments, and may decide what is kept of it for the way back."""

    def __call__(self, part: Callable[..., Tensor], *arguments: Any) -> Tensor: ...


def plainly(part: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Keep what the part keeps."""
    return part(*arguments)


def recomputed(part: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Keep the arguments alone."""
    found: Tensor = checkpoint(part, *arguments, use_reentrant=False, preserve_rng_state=False)
    return found


def recomputed_norms(module: nn.Module) -> Through:
    """Return `recomputed` for a part that normalises batches by `module`, whose running statistics move once alone."""

    def through(part: Callable[..., Tensor], *arguments: Any) -> Tensor:
        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), other_buffers(module)

        found: Tensor = checkpoint(part, *arguments, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
        return found

    return through


@contextmanager
def other_buffers(module: nn.Module) -> Iterator[None]:
    """Let what is computed inside move copies of the module's buffers."""
    own = [(child, name, buffer) for child in module.modules() for name, buffer in child.named_buffers(recurse=False)]
    for child, name, buffer in own:
        setattr(child, name, buffer.clone())
    try:
        yield
    finally:
        for child, name, buffer in own:
            setattr(child, name, buffer)
