"""Locks that tell whether whoever made something is alive: the kernel lets go of them, however a process ends.

A process number says nothing in another container, and names another process after a while. Where a file system knows
no locks nobody can tell, and nothing that may be alive is touched.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path

from resnas_deploy.errors import BadInput
from resnas_deploy.system import here

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
        here.lock(descriptor, wait=wait)
    except OSError as error:
        if error.errno in _TAKEN:
            return Lock.TAKEN
        if error.errno in _NO_LOCKS:
            return Lock.UNKNOWN
        raise
    return Lock.OURS


def is_taken(folder: Path) -> bool | None:
    """Tell whether another process has a folder's lock; None where nobody can tell. Raise `BadInput`.

    A shared lock is asked for and let go of at once: whoever wants the folder just then finds it taken (`claiming`).
    """
    descriptor = open_folder(folder)
    try:
        here.lock(descriptor, shared=True)
    except OSError as error:
        if error.errno in _TAKEN:
            return True
        if error.errno in _NO_LOCKS:
            return None
        raise
    finally:
        os.close(descriptor)
    return False


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold a folder: whoever else wants to waits until the block ends, or this process does.

    Without locks nobody waits: what is done in the block is written so that this costs time, and no file.
    """
    descriptor = open_folder(folder)
    try:
        ask(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)


def open_folder(path: Path) -> int:
    """Return a descriptor of a folder, to lock it. Raise `BadInput` where it cannot be opened."""
    try:
        return here.open_lock_of_folder(path)
    except OSError as error:
        raise BadInput(f"{path} must be a folder that can be read and written, found: {error.strerror}") from None
