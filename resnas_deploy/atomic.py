"""Files and folders that appear whole or not at all: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import glob
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnas_deploy.errors import BadInput

_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_AT_FDCWD = -100


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals (full disk, no permission, ..) into one clear `BadInput`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        hint = {
            errno.ENOSPC: "free some space or choose another disk",
            errno.EDQUOT: "free some space or choose another disk",
        }.get(error.errno or 0, "choose a place where files of this size can be written")
        raise BadInput(f"{path} cannot be written: {reason}; {hint}") from error


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; what is written there becomes `path`, or is removed after an error."""
    with write_errors(path):
        partial = _partial_name(path)
        try:
            partial.touch(exist_ok=False)  # a place that cannot be written is found before the work
            yield partial
            partial.chmod(0o644)
            sync(partial)
            partial.replace(path)
            sync(path.parent)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, may_replace: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on leaving without an error it becomes `path`, else it is removed.

    A folder at `path` is replaced only if `may_replace` says so, asked before anything is written. Leftovers of writers
    that were killed are removed: a living writer holds a lock on its own.
    """
    if path.is_symlink() or (path.exists() and not may_replace(path)):
        raise BadInput(f"{path} exists; choose another --out, or give --force to replace an earlier artifact there")
    with write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        partial = _partial_name(path)
        try:  # from before the folder is there: an interrupt may come at once
            partial.mkdir()
            with _locked(partial):
                yield partial
                for file in [*partial.iterdir(), partial]:
                    sync(file)
                _put(partial, path)
                sync(path.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _partial_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put(partial: Path, path: Path) -> None:
    """Rename `partial` to `path`; where a folder is there the two change places, so that one is there at any moment."""
    if not path.exists():
        partial.rename(path)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(partial), _AT_FDCWD, os.fsencode(path), _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)} (the file system cannot exchange two folders)", str(path))


def _remove_abandoned(path: Path) -> None:
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        if leftover.is_dir() and not leftover.is_symlink():
            with suppress(OSError), _locked(leftover):  # locked: another export is writing there
                shutil.rmtree(leftover, ignore_errors=True)
