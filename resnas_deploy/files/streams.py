"""Outputs that are no ordinary files: pipes, terminals, devices, descriptors. They are written to, never replaced."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from pathlib import Path

from resnas_deploy.errors import BadInput
from resnas_deploy.system import here

_MOST_LINKS = 40  # as the kernel follows


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe, a device of characters or an open descriptor (/dev/stdout).

    Raise `BadInput` for a disk or a socket, which nothing of ours can be written to.
    """
    if _descriptor_folder(path):
        return True
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        found = "a disk" if stat.S_ISBLK(mode) else "a socket"
        raise BadInput(f"{path} must be a file, a pipe or a device of text, found {found}; choose another place")
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)


def write_through(source: Path, path: Path) -> None:
    """Copy the content of a file to a stream."""
    folder = _descriptor_folder(path)
    if folder and folder[0] == str(os.getpid()):  # what is written with it moves on the same place in a file
        sys.stdout.flush()
        descriptor = os.dup(int(folder[1]))
    else:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    with os.fdopen(descriptor, "wb") as out, source.open("rb") as content:
        shutil.copyfileobj(content, out)


def _descriptor_folder(path: Path) -> tuple[str, str] | None:
    """Return the process and the number of the descriptor that a path leads to, by links such as /dev/stdout."""
    for _ in range(_MOST_LINKS):
        parent = os.path.realpath(path.parent)
        if (process := here.process_of_descriptors(parent)) is not None:
            return (process, path.name) if path.name.isdecimal() else None
        if not path.is_symlink():
            return None
        path = Path(parent, path.readlink())
    return None
