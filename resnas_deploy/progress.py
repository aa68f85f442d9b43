"""Progress: what long work tells of itself while it goes on, to whoever listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]  # told what is being done, a few words at a time


def silent(text: str) -> None:
    """Listen to nothing."""
    del text
