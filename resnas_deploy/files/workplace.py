"""Folders of one process alone, which are gone when it has ended, however it ended.

Each holds a locked file. What a killed process left, the next command finds by its name and removes, after it has got
that lock: never what a living process has, be it in another container. Folders outside of that for temporary files are
noted, by their path, in the user's cache until they are gone.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path

from resnas_deploy.errors import ResnasError, StorageError
from resnas_deploy.files.locks import Lock, ask
from resnas_deploy.files.renames import give_back
from resnas_deploy.files.user_folders import cache_folder
from resnas_deploy.processes.ending import LOCK, PARTIAL
from resnas_deploy.system import here

_TOKEN = "[0-9a-f]{16}"
_SCRATCH = re.compile(rf"resnas-[a-z]+-{_TOKEN}")
_PARTIAL = re.compile(rf"\..+\.{_TOKEN}{re.escape(PARTIAL)}")
_NOTE = re.compile(_TOKEN)
_NOTES = "unfinished"  # in the user's cache
_MOST_ENTRIES = 20_000  # of a folder that is looked through: a command must not wait for a folder of a million images
_ATTEMPTS = 10
_LONGEST_PATH = 32_768  # bytes, which no system has more of
_LITTLE = 2**20  # bytes: a disk with less left is full
_CANNOT_WRITE = {errno.EROFS, errno.EFBIG, errno.EIO, errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM}


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """Yield a new folder for temporary files, which is gone afterwards. `purpose` is one word, in its name.

    Raise `StorageError` that names the folder for temporary files where that is what is missing, full or not writable,
    whatever was being written there.
    """
    with (
        scratch_errors() as parent,
        _workplace(lambda: parent / f"resnas-{purpose}-{secrets.token_hex(8)}") as folder,
        _blaming(parent),  # while what filled it is there
    ):
        yield folder


@contextmanager
def scratch_errors() -> Iterator[Path]:
    """Yield the folder for temporary files, and say so where it is at fault for what goes wrong in the block."""
    try:
        parent = Path(tempfile.gettempdir())
    except FileNotFoundError as error:  # its text lists those that were tried
        tried = str(error.strerror or error).partition("[")[2].rstrip("]").replace("'", "")
        raise StorageError(
            f"there must be a folder for temporary files that can be written, found none in {tried}; "
            "free some space, or set TMPDIR to another folder"
        ) from None
    with _blaming(parent):
        yield parent


@contextmanager
def _blaming(parent: Path) -> Iterator[None]:
    try:
        yield
    except (ResnasError, MemoryError):
        raise
    except Exception as error:  # of whatever library wrote there
        code = error.errno if isinstance(error, OSError) else None
        inside = isinstance(error, OSError) and str(error.filename or "").startswith(f"{parent}{os.sep}")
        full = _is_full(parent)
        if full or code == errno.EDQUOT or (code in _CANNOT_WRITE and inside):
            reason = os.strerror(errno.ENOSPC) if full else os.strerror(code or errno.EIO)
            raise StorageError(
                f"the folder for temporary files, {parent}, cannot be written: {reason}; free some space there, "
                "or set TMPDIR to another folder"
            ) from error
        raise


@contextmanager
def workplace_beside(path: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside `path`, on the same disk, which is gone afterwards."""
    with (
        _note() as note,
        _workplace(lambda: path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")) as folder,
    ):
        note(folder)
        yield folder


def sweep() -> None:
    """Remove what killed commands left, in the folder for temporary files, beside outputs and here. Never fails."""
    with suppress(OSError):
        for entry in _entries(Path(tempfile.gettempdir())):
            if _SCRATCH.fullmatch(entry.name):
                remove_abandoned(Path(entry.path), mine=True)
    with suppress(OSError):
        for entry in _entries(Path()):
            if _PARTIAL.fullmatch(entry.name) or _SCRATCH.fullmatch(entry.name):  # the last resort for temporary files
                remove_abandoned(Path(entry.path), mine=True)
    with suppress(OSError):
        if notes := _notes():
            for entry in _entries(notes):
                if _NOTE.fullmatch(entry.name):
                    _follow_up(Path(entry.path))
            _remove_empty(notes)


def sweep_beside(path: Path) -> None:
    """Remove what killed writers of `path` left."""
    mine = re.compile(rf"\.{re.escape(path.name)}\..+{re.escape(PARTIAL)}")
    with suppress(OSError):
        for entry in _entries(path.parent):
            if mine.fullmatch(entry.name):
                remove_abandoned(Path(entry.path))


def remove_abandoned(path: Path, *, mine: bool = False) -> None:
    """Remove a workplace, or with `mine` one that is surely ours and this user's, if nobody alive has it."""
    with suppress(OSError):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or (mine and not here.is_mine(found)):
            return
        sure = (path / LOCK).exists()
        with ExitStack() as stack:
            for each in (path, path / LOCK) if sure else (path,):
                descriptor = here.open_for_locking(each)
                stack.callback(os.close, descriptor)
                if ask(descriptor) is not Lock.OURS:  # alive, or nobody can tell
                    return
            if not stat.S_ISDIR(found.st_mode):
                if not mine:
                    path.unlink()
                return
            if mine and not sure:
                path.rmdir()  # which goes where it is empty: killed before it had its lock
                return
            give_back(path, path.parent)
            _remove(path)
        _remove(path)  # what network file systems keep as long as it is open


def _remove(folder: Path) -> None:
    """Remove a workplace, its lock last: if this is cut short, the next one knows it by that."""
    with suppress(OSError):
        for entry in _entries(folder):
            if entry.name != LOCK and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != LOCK:
                with suppress(OSError):
                    Path(entry.path).unlink()
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()


@contextmanager
def _workplace(name: Callable[[], Path]) -> Iterator[Path]:
    folder = None
    with ExitStack() as stack:
        try:
            for _ in range(_ATTEMPTS):
                folder = name()
                folder.mkdir(mode=0o700)
                if (held := _hold(folder, stack)) is not None:
                    folder = held
                    break
            else:
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(folder))
            yield folder
        finally:
            if folder is not None:
                with suppress(OSError):
                    give_back(folder, folder.parent)
                stack.close()  # before the rest: network file systems keep what is open
                _remove(folder)


def _hold(folder: Path, stack: ExitStack) -> Path | None:
    """Lock a new folder and return where it is by then. None: another process took it for a leftover."""
    try:
        descriptor = here.open_for_locking(folder)
        stack.callback(os.close, descriptor)
        mine = ask(descriptor)
        lock = here.open_locked_file(folder / LOCK, 0o600, new=True)
        stack.callback(os.close, lock)
        found = ask(lock)
        if Lock.TAKEN in (mine, found) or not os.path.samestat(os.fstat(lock), (folder / LOCK).stat()):
            _remove(folder)
            return None
    except FileNotFoundError:
        return None
    if found is Lock.OURS:
        return folder
    # Without locks nobody could tell that this one is alive, so it gets a name that nobody looks for.
    (folder / LOCK).unlink()
    unlocked = folder.with_name(f"{folder.name}.unlocked")
    folder.rename(unlocked)
    return unlocked


@contextmanager
def _note() -> Iterator[Callable[[Path], None]]:
    """Yield a function that notes a folder until the block ends, so that any command finds it; where that can be."""
    notes = _notes()
    note = notes / secrets.token_hex(8) if notes else None

    def write(folder: Path) -> None:
        with suppress(OSError):
            if note is not None:
                note.parent.mkdir(parents=True, exist_ok=True)
                note.write_bytes(os.fsencode(folder.absolute()))

    try:
        yield write
    finally:
        with suppress(OSError):
            if note is not None:
                note.unlink(missing_ok=True)
                _remove_empty(note.parent)


def _follow_up(note: Path) -> None:
    """Remove the folder of a note, if nobody alive has it, and then the note."""
    with suppress(OSError):
        with note.open("rb") as file:
            noted = Path(os.fsdecode(file.read(_LONGEST_PATH)))
        if _PARTIAL.fullmatch(noted.name) and noted.is_absolute():
            remove_abandoned(noted, mine=True)
        if not os.path.lexists(noted):
            note.unlink()


def _notes() -> Path | None:
    cache = cache_folder()
    return cache / _NOTES if cache else None


def _remove_empty(notes: Path) -> None:
    """Leave no empty folders in a home: the folder of notes, and that above it."""
    with suppress(OSError):
        notes.rmdir()
        notes.parent.rmdir()


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        return list(islice(found, _MOST_ENTRIES))


def _is_full(folder: Path) -> bool:
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return False
    return found.total > 0 and found.free < _LITTLE
