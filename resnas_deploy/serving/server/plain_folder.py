"""A folder for what a server needs, at a path that every program on the way to its models can take.

Triton's Python backend hands paths to a shell unquoted, and its stub to an interpreter that may know no letters beyond
ASCII. So everything that a path leads to has a plain name in a folder with a plain path: folders of users are links in
it, with spaces, umlauts and quotes as they please.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from resnas_deploy.errors import BadInput

_PLAIN = re.compile(r"[A-Za-z0-9/._+-]{1,150}")  # what no shell, list of paths or list of settings takes apart
_ROOM = 64 * 2**20  # bytes: the backend's programs and the log


def choose_folder() -> Path:
    """Return where the folder is to be: TMPDIR, or another folder for temporary files where that one will not do.

    Raise `BadInput` that says what is wrong with each, where none will do.
    """
    wrong = []
    for folder in dict.fromkeys(_candidates()):
        if not (problem := _problem(folder)):
            return folder
        wrong.append(f"{folder} ({problem})")
    raise BadInput(
        "a server must have a folder for temporary files with a path of plain letters, that can be written and "
        f"programs can be run from, found none: {', '.join(wrong)}; set TMPDIR to one"
    )


def link(folder: Path, name: str, target: Path) -> Path:
    """Make a plain name in the folder for any path, and return it."""
    path = folder / name
    path.symlink_to(target)
    return path


def is_plain(text: str) -> bool:
    """Return whether a path or a name is one that every program takes."""
    return _PLAIN.fullmatch(text) is not None


def _candidates() -> Iterator[Path]:
    with suppress(OSError):  # none at all
        yield Path(tempfile.gettempdir()).resolve()
    yield from map(Path, ("/tmp", "/var/tmp", "/dev/shm"))
    for name, below in (("XDG_RUNTIME_DIR", ""), ("XDG_CACHE_HOME", ""), ("HOME", ".cache")):
        if (value := os.environ.get(name)) and Path(value).is_absolute():
            yield Path(value) / below


def _problem(folder: Path) -> str:
    """Return why a folder will not do; nothing where it will."""
    if not is_plain(str(folder)):
        return "its path is not plain"
    try:
        with tempfile.TemporaryFile(dir=folder):
            found = os.statvfs(folder)
    except OSError as error:
        return error.strerror or str(error)
    if found.f_flag & os.ST_NOEXEC:
        return "no program can be run from it"
    return "it is full" if found.f_bavail * found.f_frsize < _ROOM else ""
