"""Which tests hold on Linux, macOS and Windows alike: those of rooms that do nothing of a system's own."""

from __future__ import annotations

from pathlib import Path

from support.places import ROOT

ROOMS = ("arch", "graph", "images", "pages", "system")
WITH_MORE = ("pages/test_in_a_browser.py",)  # which needs a browser, and pipes to it
FILES = ("test_batch.py", "test_layers.py", "test_precision.py", "test_units.py")


def is_portable(path: Path) -> bool:
    """Whether a file of tests is among them."""
    name = path.relative_to(ROOT / "tests")
    return name.parts[0] in (*ROOMS, *FILES) and name.as_posix() not in WITH_MORE
