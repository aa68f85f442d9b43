"""Lines that a command says, on a terminal or in a file: whatever a text is made of, it clears and breaks nothing."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

from resnas_deploy.cli.words import spoken
from resnas_deploy.errors import LONGEST, shortened


def printable(text: str) -> str:
    """Return a text with codes for what clears a terminal or cannot be written, as text from files may hold."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """Return a message of the library as one line of the command line's, with its options."""
    line = " ".join(spoken(shortened(text, 10 * LONGEST)).split())
    return shortened(printable(line))


def complain(text: str) -> None:
    """Print one line on stderr, whatever the text is made of: it may hold a file's name, with any characters."""
    with suppress(OSError):  # it may be closed, full, or without a reader: the exit code tells the rest
        put(f"resnas: {one_line(text)}", sys.stderr)


def put(text: str, stream: TextIO) -> None:
    """Write a line at once. Not by typer's own, which writes UTF-8 where a stream is for ASCII alone."""
    stream.write(f"{text}\n")
    stream.flush()


def is_first_process() -> bool:
    """Return whether this process speaks, of those that torchrun has numbered."""
    return not os.environ.get("RANK", "").strip(" 0")
