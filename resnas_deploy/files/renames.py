"""Renames that decide at that very moment whether something may be replaced: what was looked at before may be gone."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from resnas_deploy.system import here

REPLACED = "replaced-"  # begins the name of a folder that keeps what is being replaced, under its own name
# Of a system, a file system or a sandbox without such renames (NFS, SMB, many FUSE ones), or without links.
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}
_NO_LINKS = _UNSUPPORTED | {errno.EMLINK, errno.EACCES}
_OCCUPIED = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR}
_ATTEMPTS = 20  # each fails only because somebody else wrote to the same name in that instant


def rename_new(old: Path, new: Path) -> None:
    """Rename a file or a folder to a name that nothing has. Raise `FileExistsError` where something has it."""
    try:
        here.rename(old, new)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        _claim_folder(old, new) if old.is_dir() else _claim_file(old, new)


def put_folder(partial: Path, path: Path, may_replace: Callable[[Path], bool]) -> None:
    """Rename the folder `partial` to `path`, where nothing is or what `may_replace` says yes to, which is removed.

    What is there is asked about at that moment, and once more after it has changed places with the new folder, so that
    one of them is there at any time; what may not be replaced goes back. Where a file system cannot exchange, there is
    nothing for an instant. Raise `FileExistsError` where what is there must stay.
    """
    for _ in range(_ATTEMPTS):
        with suppress(FileExistsError):
            rename_new(partial, path)
            return
        if path.is_symlink() or not may_replace(path):
            break
        try:
            partial.rename(path)  # goes through over an empty folder alone, whatever comes at this moment
        except OSError as error:
            if error.errno not in _OCCUPIED:
                raise
        else:
            return
        with suppress(FileNotFoundError):  # somebody took it away
            if _exchanged(partial, path, may_replace):
                shutil.rmtree(partial, ignore_errors=True)
                return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def put_file(partial: Path, path: Path, *, replace: bool) -> None:
    """Rename a file. Raise `FileExistsError` where something is there and `replace` is not wanted."""
    if replace:
        here.replace(partial, path)
    else:
        rename_new(partial, path)


def give_back(folder: Path, place: Path) -> None:
    """Put what a killed process was replacing, and had moved into `folder`, back to `place` where nothing is."""
    for kept in folder.glob(f"{REPLACED}*/*"):
        with suppress(FileExistsError):  # the new one is there
            rename_new(kept, place / kept.name)


def _exchanged(partial: Path, path: Path, may_replace: Callable[[Path], bool]) -> bool:
    """Let two folders change places. False: what came out must stay, and is back."""
    try:
        here.rename(partial, path, exchange=True)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        return _moved_aside(partial, path, may_replace)
    if not partial.is_symlink() and may_replace(partial):
        return True
    here.rename(partial, path, exchange=True)
    return False


def _moved_aside(partial: Path, path: Path, may_replace: Callable[[Path], bool]) -> bool:
    """Let two folders change places in two renames, on a file system that cannot exchange."""
    aside = partial.with_name(f"{REPLACED}{secrets.token_hex(8)}")
    kept = aside / path.name
    aside.mkdir()
    try:
        path.rename(kept)
        if not kept.is_symlink() and may_replace(kept):
            rename_new(partial, path)
            shutil.rmtree(aside, ignore_errors=True)
            return True
    except FileExistsError:  # another one came in its place, which is asked about next
        shutil.rmtree(aside, ignore_errors=True)
        return False
    finally:
        if os.path.lexists(kept):
            _put_back(kept, path)
        with suppress(OSError):
            aside.rmdir()
    return False


def _put_back(kept: Path, path: Path) -> None:
    """Rename it back, or to a name beside that where the place is taken by now: what must stay is lost at no price."""
    try:
        rename_new(kept, path)
    except FileExistsError:
        rename_new(kept, path.with_name(f"{path.name}.{secrets.token_hex(4)}"))


def _claim_folder(old: Path, new: Path) -> None:
    """Rename over an empty folder of our own: a rename fails where anything has been put into it meanwhile."""
    new.mkdir()
    try:
        try:
            old.rename(new)
        except OSError:  # some file systems rename over no folder at all; then there must be none
            new.rmdir()
            old.rename(new)
    except OSError as error:
        with suppress(OSError):
            new.rmdir()
        if error.errno in _OCCUPIED:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new)) from None
        raise


def _claim_file(old: Path, new: Path) -> None:
    """Link it to the new name, which fails where something has it; without links, replace an empty file of our own."""
    try:
        os.link(old, new, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(here.open_locked_file(new, 0o666, new=True))
        try:
            old.replace(new)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    else:
        old.unlink()
