"""What systems without /proc do not tell of processes."""

from __future__ import annotations


def process_numbers_of() -> str:
    """Return nothing: no name of a boot is at hand."""
    return ""


def started(process: int) -> str:
    """Return nothing: when a process began is not told in a file."""
    del process
    return ""


def has_loaded(library: str) -> bool | None:
    """Return None: what is loaded is not told in a file."""
    del library
    return None
