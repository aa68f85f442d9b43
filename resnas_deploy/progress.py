"""Progress: what long work tells of itself while it goes on, to whoever listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]  # told what is being done, a few words at a time


def silent(text: str) -> None:
    """Listen to nothing."""
    del text


def headed(heading: str, progress: Progress) -> Progress:
    """Return a listener that hears every text with a heading before it."""
    return lambda text: progress(heading + text)
