"""Becomes another program that ends when the process that started it does: `python -m .. PARENT PROGRAM ARGUMENT..`.

Linux's parent-death signal (prctl(2), PR_SET_PDEATHSIG) stays set across execve; a launcher of its own sets it without
running Python between a fork and an exec.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set the signal and become the program."""
    parent, *command = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        sys.exit("the parent-death signal could not be set")
    if os.getppid() != int(parent):  # it died before
        sys.exit("the process that asked for this is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
