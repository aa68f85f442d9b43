"""Outputs that a user names: where they may be is decided before the work, and again when they are written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import atomic_file, unwritable, write_errors
from resnas_deploy.files.locks import Lock, ask, open_folder
from resnas_deploy.files.streams import is_stream
from resnas_deploy.files.workplace import sweep_beside, workplace_beside

_LOOKS, _LOOK_S = 3, 0.05


@contextmanager
def output_file(path: Path, *, replace: bool) -> Iterator[Path]:
    """Yield a temporary name for a file that a user names: of a link, what it leads to is written (`atomic_file`)."""
    with write_errors(path):
        target = path
        if path.is_symlink() and not is_stream(path):
            with suppress(FileNotFoundError):  # it leads to no file yet
                path.stat()  # asks the kernel whether it may be followed: not everybody's in a folder of all
            target = Path(os.path.realpath(path))
    with atomic_file(target, replace=replace) as partial:
        yield partial


def write_text(path: Path, text: str, *, replace: bool) -> None:
    """Write a text file that a user names. Raise `StorageError` or `BadInput`."""
    with output_file(path, replace=replace) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def check_writable(path: Path) -> None:
    """Raise `StorageError` or `BadInput` where a file could not be written, by doing it, before the work."""
    with write_errors(path):
        if is_stream(path):
            return
        real = Path(os.path.realpath(path))
        sweep_beside(real)  # what is left of a process that was killed here
        with workplace_beside(real):
            pass


def check_new_file(path: Path, *, replace: bool, field: str = "out") -> None:
    """Raise `BadInput` or `StorageError` where no file can be written at `path`, which `field` names, before the work.

    With `replace` a file that is there may go.
    """
    if path.is_dir():
        raise BadInput(f"`{field}` must be a file's name, found the folder {path}; name a file in it")
    if not path.parent.is_dir():
        raise BadInput(f"`{field}` must lie in a folder that is there, found none at {path.parent}; make it first")
    if not replace and not is_stream(path) and path.exists():
        raise BadInput(f"{path} exists; choose another `{field}`, or give `force` to replace a file")
    check_writable(path)


def check_apart(**paths: Path | None) -> None:
    """Raise `BadInput` where two of the files that a user names, each by its field, are one: the last would win."""
    seen = dict[Path, str]()
    for field, path in paths.items():
        other = seen.setdefault(Path(os.path.realpath(path)), field) if path else field
        if path and other != field and not is_stream(path):
            raise BadInput(f"`{field}` must be another file than `{other}`, found {path} for both")


def check_new_folder(folder: Path, *, resume: bool, remedy: str) -> None:
    """Raise `BadInput`, which ends in `remedy`, where a folder has something in it, unless that is to be resumed."""
    if folder.is_dir():
        if not resume and any(folder.iterdir()):
            raise BadInput(f"{folder} exists; {remedy}")
    elif folder.exists():
        raise BadInput(f"{folder} must be a folder, found a file; choose another `out`")


@contextmanager
def claiming(folder: Path, *, resume: bool, remedy: str) -> Iterator[None]:
    """Make the folder of a run and hold it until the block ends: one run at a time, and none over another's files.

    Raise `BadInput` where another process has it, and as `check_new_folder` does.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        check_new_folder(folder, resume=resume, remedy=remedy)
        raise
    except OSError as error:
        raise unwritable(folder, error, "choose another `out`") from None
    descriptor = open_folder(folder)
    try:
        if _taken(descriptor):
            raise BadInput(
                f"{folder} must be of one run at a time, found another process that writes to it; "
                "wait until that has ended, or choose another `out`"
            )
        check_new_folder(folder, resume=resume, remedy=remedy)  # again, now that nobody else may write to it
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Ask for a lock, again after a moment: who only looks whether it is taken has it for one (`locks.is_taken`)."""
    for look in range(_LOOKS):
        time.sleep(_LOOK_S if look else 0)
        if ask(descriptor) is not Lock.TAKEN:
            return False
    return True
