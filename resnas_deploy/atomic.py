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
    """Yield a temporary name beside `path`; what is written there becomes `path`, or is removed after an error.

    Leftovers of writers that were killed are removed: a living writer holds a lock on its own. Raises `BadInput` where
    the operating system refuses, also in the block, which is there to write.
    """
    with write_errors(path):
        partial = _partial_name(path)
        unlocked = partial.with_suffix(".new")
        try:
            unlocked.touch(exist_ok=False)  # a place that cannot be written is found before the work
            with _locked(unlocked):
                unlocked.rename(partial)  # with its lock: nobody may take it for a leftover
                _remove_abandoned(path)
                mode = partial.stat().st_mode
                yield partial
                partial.chmod(mode)  # some writers let nobody but the owner read
                sync(partial)
                partial.replace(path)
                sync(path.parent)
        finally:
            unlocked.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, may_replace: Callable[[Path], bool], beside: Path | None = None) -> Iterator[Path]:
    """Yield a temporary folder; on leaving without an error it becomes `path`, else it is removed.

    It lies beside `path`, or where that folder is watched, beside another one of the same disk.

    A folder at `path` is replaced only if `may_replace` says so, asked before anything is written. Leftovers of writers
    that were killed are removed: a living writer holds a lock on its own. Raises `BadInput` where `path` is taken, or
    where the operating system refuses; errors of the block are its own.
    """
    with write_errors(path):
        if path.is_symlink() or (path.exists() and not may_replace(path)):
            raise BadInput(f"{path} exists; choose another name, or give --force to replace an earlier artifact there")
    partial = _partial_name(beside or path)
    try:  # from before the folder is there: an interrupt may come at once
        with write_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(beside or path)
            partial.mkdir()
        with _locked(partial):
            yield partial
            with write_errors(path):
                for file in [*partial.rglob("*"), partial]:
                    sync(file)
                _put(partial, path)
                sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partial_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold a folder: whoever else wants to waits until the block ends, or this process does."""
    with write_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = os.open(path, os.O_RDONLY)
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
    """Rename `partial` to `path`. A folder that is there changes places with it, so that one is there at any moment."""
    try:
        partial.rename(path)  # where nothing is, or an empty folder
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.renameat2(_AT_FDCWD, os.fsencode(partial), _AT_FDCWD, os.fsencode(path), _EXCHANGE):
            old = _partial_name(path)  # a file system that cannot exchange: for an instant nothing is there
            path.rename(old)
            partial.rename(path)
            shutil.rmtree(old, ignore_errors=True)


def _remove_abandoned(path: Path) -> None:
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        if leftover.is_symlink():
            continue
        with suppress(OSError), _locked(leftover):  # locked: another process is writing there
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()
