"""Files and folders that appear whole or not at all: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files.renames import put_file, put_folder
from resnas_deploy.files.streams import is_stream, write_through
from resnas_deploy.files.workplace import scratch_folder, sweep_beside, workplace_beside
from resnas_deploy.processes.aside import Aside
from resnas_deploy.system import here

_FREE, _ALLOWED = "free some space or choose another disk", "choose a place that you may write to"
_THERE, _OTHER = "choose a place in a folder that is there", "choose another name"
# Of what is wrong with the place that was asked for. All else is no fault of whoever asked.
_MISPLACED = {
    errno.ENOENT: _THERE,
    errno.ENOTDIR: _THERE,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: _OTHER,
    errno.EEXIST: _OTHER,
    errno.ELOOP: _OTHER,
}
_REFUSED = {
    errno.ENOSPC: _FREE,
    errno.EDQUOT: _FREE,
    errno.EACCES: _ALLOWED,
    errno.EPERM: _ALLOWED,
    errno.EROFS: _ALLOWED,
}
# What some file systems (SMB, FUSE, exFAT) say to a flush, a folder's above all, and to changing who may read.
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.EPERM}


class Taken(BadInput):
    """Something is there already."""


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one clear `StorageError`, or `BadInput` for a place that cannot be."""
    if why := here.why_no_name(path):
        raise BadInput(f"{path} cannot be written: {why}; choose another name")
    try:
        yield
    except BrokenPipeError:  # whoever was reading has had enough: no fault of any place
        raise
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError, remedy: str = "", done: str = "written") -> BadInput | StorageError:
    """Return what to raise for a place that the operating system lets nobody write to."""
    code = error.errno or 0
    usual = _MISPLACED.get(code) or _REFUSED.get(code, "choose a place where files of this size can be written")
    kind = BadInput if code in _MISPLACED else StorageError
    return kind(f"{path} cannot be {done}: {error.strerror or error}; {remedy or usual}")


@contextmanager
def atomic_file(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary name; what is written there becomes `path`, or is removed after an error.

    What is no ordinary file (a pipe, a terminal, /dev/null, ..) is never replaced: it is written to, once all is there.
    Leftovers of writers that were killed are removed: a living writer holds a lock on its own. Raise `Taken` where
    something is there and `replace` is not wanted, decided when all is written; and what `write_errors` does where the
    operating system refuses, also in the block, which is there to write.
    """
    with write_errors(path):
        if is_stream(path):
            with scratch_folder("output") as folder:
                yield folder / (path.name or "output")
                write_through(folder / (path.name or "output"), path)
            return
        with workplace_beside(path) as folder:
            sweep_beside(path)
            partial = folder / path.name
            partial.touch()
            mode = partial.stat().st_mode
            yield partial
            allow(partial, mode)  # some writers let nobody but the owner read
            sync(partial)
            is_stream(path)  # which refuses what has come there meanwhile and cannot be written to
            try:
                put_file(partial, path, replace=replace)
            except FileExistsError:
                raise Taken(f"{path} exists: it was made in the meantime; choose another name") from None
            sync(path.parent)


def write_json(path: Path, document: object) -> None:
    """Write a JSON document at once and whole. Raise `StorageError` or `BadInput`."""
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8", newline="\n")


@contextmanager
def atomic_folder(
    path: Path,
    may_replace: Callable[[Path], bool],
    beside: Path | None = None,
    remedy: str = "choose another name",
) -> Iterator[Path]:
    """Yield a temporary folder; on leaving without an error it becomes `path`, else it is removed.

    It lies beside `path`, or where that folder is watched, beside another one of the same disk.

    A folder at `path` is replaced only if `may_replace` says so, asked before anything is written, and at the moment of
    the rename. Leftovers of writers that were killed are removed: a living writer holds a lock on its own. Raise
    `Taken`, which ends in `remedy`, where `path` is taken, and what `write_errors` does where the operating system
    refuses; errors of the block are its own.
    """
    with ExitStack() as stack:
        with write_errors(path):
            if path.is_symlink():
                raise Taken(f"{path} exists and is a symbolic link, which is never replaced; name another folder")
            if path.exists() and not may_replace(path):
                raise Taken(f"{path} exists; {remedy}")
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = stack.enter_context(workplace_beside(beside or path)) / path.name
            sweep_beside(beside or path)
            partial.mkdir()
        yield partial
        put_in_place(partial, path, may_replace, remedy)


def put_in_place(partial: Path, path: Path, may_replace: Callable[[Path], bool], remedy: str) -> None:
    """Flush a folder that is whole and rename it to `path`, as `atomic_folder` does at its end."""
    with write_errors(path):
        for file in [*partial.rglob("*"), partial]:
            sync(file)
        try:
            put_folder(partial, path, may_replace)
        except FileExistsError:
            raise Taken(f"{path} exists: it was made in the meantime; {remedy}") from None
        sync(path.parent)


def lexical(path: Path) -> Path:
    """Return an absolute path without `.` and `..`; its last part stays its name, wherever a link of it leads."""
    return Path(os.path.normpath(path.absolute()))


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk, as far as its file system can."""
    folder = path.is_dir()
    try:
        descriptor = here.open_to_flush(path)
    except PermissionError:
        if folder:  # one may write into a folder that one may not read
            return
        raise
    try:
        here.flush(descriptor)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def flushed(files: Iterable[Path]) -> Iterator[Aside[None]]:
    """Flush files to disk while the block runs; they are not written to any more. Yield what waits for it, or raises.

    A disk takes long at it and the processor has nothing to do meanwhile.
    """
    paths = tuple(files)

    def flush() -> None:
        for path in paths:
            sync(path)

    with Aside(flush) as flushing:
        yield flushing


def allow(path: Path, mode: int) -> None:
    """Set who may read a file, where its file system has such a thing."""
    try:
        path.chmod(stat.S_IMODE(mode))
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
