"""Memory that was freed, given back to the system: the C library keeps much of it for what is asked for next."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back_memory() -> None:
    """Give back what can be (malloc_trim(3)); nothing where the C library has no such function (musl)."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
