"""Every error that a user can meet, on one screen. The command line turns each into one line and its exit code."""

from __future__ import annotations

from collections.abc import Sequence


class ResnasError(Exception):
    """Base of all errors raised on purpose. The message says what must hold, what was found, and what to do."""

    exit_code = 1


class BadInput(ResnasError):
    """Input or usage is wrong: a file, an option, an architecture, an image."""

    exit_code = 2


class VerificationFailed(ResnasError):
    """An emitted graph does not compute what the PyTorch module computes. `report` is what was compared."""

    exit_code = 3

    def __init__(self, message: str, report: object) -> None:
        super().__init__(message)
        self.report = report


class RegressionFound(ResnasError):
    """Something has become slower than its baseline, and that is not noise."""

    exit_code = 4


class NotAvailable(ResnasError):
    """A package or a device is missing here."""

    exit_code = 5

    def __init__(self, message: str, install: str = "") -> None:
        super().__init__(f"{message}; install it with: {install}" if install else message)


def first_few(lines: Sequence[str], most: int = 3) -> str:
    """The first of several findings as one text, and how many more there are."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "; ".join([*lines[:most], *more])


def first_line(error: BaseException, most: int = 200) -> str:
    """What an error of another package says, on one line."""
    return " ".join((str(error) or type(error).__name__).split())[:most]
