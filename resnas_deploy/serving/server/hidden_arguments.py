"""Arguments of a program that other users of the machine cannot read.

Everybody may read a program's arguments (/proc/PID/cmdline), and only its owner its environment. So a secret goes with
the environment; and while the program has not run its first instruction, its argument is made to point there: the
program that starts is stopped at its execve (ptrace(2)), and one pointer is changed. What the kernel shows is the
memory where the arguments were to begin with, and that keeps what it had.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_DETACH = 17
_POINTER = struct.Struct("=Q")
_START_OF_STACK = 28 - 3  # of the fields of /proc/PID/stat that come after the name, the third on


def replace_arguments(process: int, replacing: Mapping[str, str]) -> bool:
    """Let arguments of a child that stops at its execve be values of its environment, then let it run.

    `replacing` has the variable of each argument. Return whether that could be done; the child runs in either case.
    """
    if not os.WIFSTOPPED(os.waitpid(process, 0)[1]):
        return False  # it ended: there was no such program
    try:
        with suppress(OSError, ValueError, struct.error):
            return _replace(process, {value.encode(): f"{name}=".encode() for value, name in replacing.items()})
        return False
    finally:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
        libc.ptrace(_DETACH, process, None, None)


def _replace(process: int, replacing: Mapping[bytes, bytes]) -> bool:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    memory = os.open(f"/proc/{process}/mem", os.O_RDWR | os.O_CLOEXEC)
    try:
        first = int(fields[_START_OF_STACK]) + _POINTER.size  # after the number of arguments
        arguments = _texts(memory, first)
        environment = _texts(memory, first + (len(arguments) + 1) * _POINTER.size)
        changes = {}
        for at, text in arguments.items():
            if wanted := replacing.get(text):
                (source,) = (each for each, value in environment.items() if value.startswith(wanted))
                changes[at] = _pointer(memory, source) + len(wanted)
        if len(changes) != len(replacing):
            return False
        for at, pointer in changes.items():
            os.pwrite(memory, _POINTER.pack(pointer), at)
        return True
    finally:
        os.close(memory)


def _texts(memory: int, at: int) -> dict[int, bytes]:
    """Return where the pointers of an array lie, until the one that is null, with the texts that they lead to."""
    found = {}
    while pointer := _pointer(memory, at):
        found[at] = _text(memory, pointer)
        at += _POINTER.size
    return found


def _pointer(memory: int, at: int) -> int:
    return int(_POINTER.unpack(os.pread(memory, _POINTER.size, at))[0])


def _text(memory: int, at: int) -> bytes:
    found = b""
    while b"\0" not in found:
        more = os.pread(memory, 4096, at + len(found))
        if not more:
            raise ValueError("a text without an end")
        found += more
    return found.partition(b"\0")[0]
