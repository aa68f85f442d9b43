"""Becomes another program that ends when the process that started it does: `.. PARENT NOTICE PROGRAM ARGUMENT..`.

Linux's parent-death signal (prctl(2), PR_SET_PDEATHSIG) stays set across execve; a launcher of its own sets it without
running Python between a fork and an exec. It needs the standard library alone, and no setting of whoever started it.

NOTICE is the descriptor of a pipe, which is told whether the kernel will stop the program before its first instruction.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PTRACE_TRACEME = 1, 22, 38, 0
_FILTER = 2  # SECCOMP_MODE_FILTER
_FCHMOD = {"x86_64": (0xC000003E, 91), "aarch64": (0xC00000B7, 52)}  # the architecture's number, the system call's


def main() -> None:
    """Set the signal and become the program."""
    parent, notice, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        sys.exit("the parent-death signal could not be set")
    if os.getppid() != int(parent):  # it died before
        sys.exit("the process that asked for this is gone")
    os.umask(0o077)
    _keep_private(libc)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    is_stopped = libc.ptrace(_PTRACE_TRACEME, 0, None, None) == 0
    with os.fdopen(int(notice), "wb") as pipe:
        pipe.write(b"1" if is_stopped else b"0")
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"error: {command[0]} cannot be run: {error.strerror}")


def _keep_private(libc: ctypes.CDLL) -> None:
    """Keep what the program makes for its owner alone: the memory that it shares with its models.

    Boost, which makes that, undoes the umask at once by fchmod(2) with 644. That call succeeds here and does nothing,
    by a filter of system calls (seccomp(2)), which anybody may set for themselves. Elsewhere others can read it.
    """
    if (known := _FCHMOD.get(os.uname().machine)) is None:
        return
    architecture, fchmod = known
    load, equal, answer = 0x20, 0x15, 0x06  # of struct seccomp_data; jump; return
    allow, succeed = 0x7FFF0000, 0x00050000
    steps = (
        (load, 0, 0, 4),
        (equal, 0, 5, architecture),
        (load, 0, 0, 0),
        (equal, 0, 3, fchmod),
        (load, 0, 0, 24),  # its second argument
        (equal, 0, 1, 0o644),
        (answer, 0, 0, succeed),
        (answer, 0, 0, allow),
    )
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    pointer = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(program)))
    libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, None, 0, 0) == 0:
        libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.addressof(pointer), 0, 0)


if __name__ == "__main__":
    main()
