"""Every error that a user can meet, on one screen. The command line turns each into one line and its exit code.

Messages name what they speak of as Python does: `max_latency` is a parameter, `export()` a function of the Python API.
The command line puts its own words in their places (`cli/words.py`).
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Protocol

LONGEST = 1000  # characters of a message: what is in a file is never shown whole
_TAIL = 300  # of them after the gap, where the remedy is


class ResnasError(Exception):
    """Base of all errors raised on purpose. The message says what must hold, what was found, and what to do."""

    exit_code = 1
    said = False  # whether another process of the same run has said it

    def __init__(self, message: str) -> None:
        super().__init__(shortened(message))


class BadInput(ResnasError, ValueError):
    """Input or usage is wrong: a file, a parameter, an architecture, an image."""

    exit_code = 2


class StorageError(ResnasError):
    """A file cannot be written, though nothing is wrong with what was asked for: the disk is full, or not writable."""

    exit_code = 2


class VerificationReport(Protocol):
    """What was compared, and what came of it: `artifact.manifest.Verification`, `api.triton.RepositoryCheck`."""

    def to_json(self) -> object:
        """Return it as plain data."""
        ...


class VerificationFailed(ResnasError):
    """A graph does not compute what the PyTorch module computes. `report` is what was compared, where that was all."""

    exit_code = 3

    def __init__(self, message: str, report: VerificationReport | None = None) -> None:
        super().__init__(message)
        self.report = report


class RegressionFound(ResnasError):
    """Something has become slower than its baseline, and that is not noise."""

    exit_code = 4


class NotAvailable(ResnasError):
    """A device is missing here, or a package: see `PackageMissing`. `install` is the command that helps."""

    exit_code = 5

    def __init__(self, message: str, install: str = "") -> None:
        super().__init__(f"{message}; install it with: {install}" if install else message)
        self.install = install


class PackageMissing(NotAvailable, ImportError):
    """A package is not installed here."""


def shortened(text: str, most: int = LONGEST) -> str:
    """Return the text, or its beginning and its end where it has more than so many characters."""
    tail = min(_TAIL, most // 3)
    return text if len(text) <= most else f"{text[: most - tail - 4]} .. {text[-tail:]}"


def shown(value: object, most: int = 60) -> str:
    """Return a wrong value for a message: one line of at most so many characters, however deep or long it is."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    brief = reprlib.Repr()  # which looks at no more of a value than it shows
    brief.maxlevel, brief.maxstring, brief.maxother = 3, most, most
    try:
        text = brief.repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"{type(value).__name__} data too large to show"
    return text if len(text) <= most else f"{text[: most - 3]}..."


def called(function: str, **arguments: object) -> str:
    """Return a call of a function of the Python API for a message, which the command line shows as its command."""
    plain = {name: value if isinstance(value, int | float) else str(value) for name, value in arguments.items()}
    return f"`{function}({', '.join(f'{name}={value!r}' for name, value in plain.items())})`"


def whole_number(text: str, most: int = 10**9) -> int | None:
    """Return the number that a text is in the digits 0 to 9 alone, up to `most`; None for anything else.

    `int` takes other scripts' digits, signs, blanks and underscores too, and `isdigit` takes what `int` refuses.
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 and int(text) <= most else None


def first_few(lines: Sequence[str], most: int = 3) -> str:
    """Return the first of several findings as one text, and how many more there are."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "; ".join([*lines[:most], *more])


def first_line(error: BaseException, most: int = 200) -> str:
    """Return what an error of another package says, on one line that a terminal can show: it may quote a file."""
    text = " ".join((str(error) or type(error).__name__).split())[:most]
    return "".join(character if character.isprintable() else "?" for character in text)
