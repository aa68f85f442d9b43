"""Locks that tell whether whoever made something is alive: the kernel lets go of them, however a process ends.

A process number says nothing in another container, and names another process after a while. Where a file system knows
no locks nobody can tell, and nothing that may be alive is touched.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from resnas_deploy.errors import BadInput

# What flock(2) says where there are no locks, or none on a descriptor that cannot write, as NFS wants it.
_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
_TAKEN = {errno.EAGAIN, errno.EACCES}


class Lock(Enum):
    """What came of asking for a lock."""

    OURS = "ours"
    TAKEN = "another process has it"
    UNKNOWN = "this file system has no locks"


def ask(descriptor: int, *, wait: bool = False) -> Lock:
    """Ask for the exclusive lock of an open file or folder, which lasts until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _TAKEN:
            return Lock.TAKEN
        if error.errno in _NO_LOCKS:
            return Lock.UNKNOWN
        raise
    return Lock.OURS


def opened(path: Path) -> int:
    """A descriptor of a folder, or of a file for writing too, which an exclusive lock needs on NFS."""
    usual = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, os.O_RDWR | usual)
    except (IsADirectoryError, PermissionError):
        return os.open(path, os.O_RDONLY | usual)


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold a folder: whoever else wants to waits until the block ends, or this process does.

    Without locks nobody waits: what is done in the block is written so that this costs time, and no file.
    """
    descriptor = _folder(folder)
    try:
        ask(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def claiming(folder: Path, *, resume: bool, taken: str) -> Iterator[None]:
    """Make the folder of a run, and hold it until the block ends: one run at a time, and none over another's files.

    Raises `BadInput` where another process has it, and where it is not empty and is not to be resumed: then the message
    ends in `taken`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise BadInput(f"{folder} must be a folder, found a file; choose another --out") from None
    except OSError as error:
        raise BadInput(f"{folder} cannot be written: {error.strerror}; choose another --out") from None
    descriptor = _folder(folder)
    try:
        if ask(descriptor) is Lock.TAKEN:
            raise BadInput(
                f"{folder} must be of one run at a time, found another process that writes to it; "
                "wait until that has ended, or choose another --out"
            )
        if not resume and any(folder.iterdir()):  # asked again, now that nobody else may write to it
            raise BadInput(f"{folder} exists; {taken}")
        yield
    finally:
        os.close(descriptor)


def _folder(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(f"{path} must be a folder that can be read and written, found: {error.strerror}") from None
