"""Whose files are these? What a server needs while it lives, named by a lock that it holds, and removed without it.

A server has a folder for its files, and regions of shared memory. In the folder of each lies a lock file,
`.NAME.lock`; what is called `NAME` or begins with `NAME_` belongs to whoever holds it: the process that made it, and
the server and its children, which inherit it. The kernel lets go of a lock when the last of them ends, however it ends,
and in whichever container it ran: nothing is decided by the number of a process, which means another one there.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import shutil
import signal
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.files.atomic import write_errors
from resnas_deploy.system import here

PREFIX = "resnas_"
_STUB = b"triton_python_backend_stub"
_NAME = re.compile(rf"{PREFIX}[0-9]+_[0-9a-f]{{16}}")  # the number is for whoever looks at the folder
_LOCK = re.compile(rf"\.({_NAME.pattern})\.lock")
_ENDING_S = 5.0  # how long a process that was killed may take to be gone


@dataclass(frozen=True)
class Owned:
    """A name that nobody else has, and the locks that make it so."""

    name: str
    descriptors: tuple[int, ...]  # for children to inherit: as long as one of them lives, so does the name


@contextmanager
def owning(folders: Sequence[Path]) -> Iterator[Owned]:
    """Own a name in every one of these folders until the block ends; then what has that name is removed.

    What killed owners left there is removed first. Raise `BadInput` where a folder cannot be written.
    """
    end_orphans()
    for folder in folders:
        remove_abandoned_locks(folder)
    with ExitStack() as stack:
        name = f"{PREFIX}{os.getpid()}_{secrets.token_hex(8)}"
        yield Owned(name, tuple(stack.enter_context(_held(folder, name)) for folder in folders))


def remove_abandoned_locks(folder: Path) -> None:
    """Remove what has the name of a lock that nobody holds. What another user has, and what cannot be, is left."""
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if match := _LOCK.fullmatch(path.name):
                with suppress(OSError):
                    _remove_if_abandoned(path, match[1])


def end_orphans() -> None:
    """End children of servers that are gone: they serve nobody, and would hold the server's lock for ever."""
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            if entry.name.isdecimal() and entry.stat().st_uid == os.geteuid() and _is_orphan(entry):
                _kill(int(entry.name))


@contextmanager
def _held(folder: Path, name: str) -> Iterator[int]:
    """Hold the lock of a name until the block ends, and remove what has that name then."""
    path = folder / f".{name}.lock"
    while True:
        with write_errors(folder):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # a file system without locks: nobody gets this one, so nothing is taken for left there
            here.lock(descriptor, wait=True)
        if _is_at(descriptor, path):
            break
        os.close(descriptor)  # somebody took it for abandoned, before it was locked
    try:
        yield descriptor
    finally:
        _remove(folder, name)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _remove_if_abandoned(lock: Path, name: str) -> None:
    descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return
        here.lock(descriptor)
        if _is_at(descriptor, lock):
            _remove(lock.parent, name)
            lock.unlink()
    finally:
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether an open file still has that name."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    return False


def _remove(folder: Path, name: str) -> None:
    """Remove the folder of that name, and what begins with it; of others' files that have it nothing can be."""
    for path in [folder / name, *folder.glob(f"{name}_*")]:
        with suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_orphan(entry: Path) -> bool:
    """Return whether a process is a server's child, of one that we started, whose server is gone."""
    command = (entry / "cmdline").read_bytes().split(b"\0")
    if not command[0].endswith(_STUB) or not any(_NAME.match(word.decode(errors="replace")) for word in command):
        return False
    parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
    with suppress(OSError):
        return not Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")[0].endswith(b"tritonserver")
    return True


def _kill(process: int) -> None:
    """Kill a process and wait until it is gone, and its locks with it."""
    descriptor = os.pidfd_open(process)
    try:
        if _is_orphan(Path(f"/proc/{process}")):  # still: the number may be another's by now
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], _ENDING_S)
    finally:
        os.close(descriptor)
