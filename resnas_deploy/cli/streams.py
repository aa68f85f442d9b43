"""The three streams that a command is given: any may be closed, full, or without a reader."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from resnas_deploy.cli import plain
from resnas_deploy.processes.ending import open_closed
from resnas_deploy.system import here

READER_GONE = 141  # 128 and SIGPIPE: what a shell tells of other programs whose reader went away


class ReaderGone(BaseException):  # no `Exception`: what libraries do about a broken pipe is not what we do
    """Whoever read the output reads no more. It ends the command quietly."""


class _Output:
    """A stream for text that raises `ReaderGone` instead of `BrokenPipeError`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            if error.errno in here.GONE:
                raise ReaderGone from None
            raise

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            if error.errno in here.GONE:
                raise ReaderGone from None
            raise


@contextmanager
def checked_output() -> Iterator[None]:
    """Have a stdout within the block that can be written to, or raise `ReaderGone`.

    A stream that is closed becomes one that nobody reads: else the next file to be opened would take its number, and
    get what libraries say. What cannot be written in the end raises an `OSError`.
    """
    open_closed()
    here.text_output()
    plain.register()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # the name of a file may hold bytes that are no text
            ascii_alone = stream.isatty() and plain.knows_ascii_alone(os.environ)
            stream.reconfigure(encoding="ascii" if ascii_alone else None, errors=plain.HANDLER)
    before = sys.stdout
    sys.stdout = cast(TextIO, _Output(before))
    try:
        yield
        sys.stdout.flush()
    except (ReaderGone, OSError):
        _forget(before)
        raise
    finally:
        sys.stdout = before


def _forget(stream: TextIO) -> None:
    """Send what was not written yet nowhere, so that Python does not try again, and complain, when it ends."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()
