"""Every error that a user can meet, on one screen. The command line turns each into one line and its exit code."""

from __future__ import annotations


class ResnasError(Exception):
    """Base of all errors raised on purpose. The message says what must hold, what was found, and what to do."""

    exit_code = 1


class BadInput(ResnasError):
    """Input or usage is wrong: a file, an option, an architecture, an image."""

    exit_code = 2


class VerificationFailed(ResnasError):
    """An emitted graph does not compute what the PyTorch module computes."""

    exit_code = 3


class NotAvailable(ResnasError):
    """A package or a device is missing here. `remedy` is the command that would provide it, where there is one."""

    exit_code = 5

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}; install it with: {remedy}" if remedy else message)
        self.remedy = remedy
