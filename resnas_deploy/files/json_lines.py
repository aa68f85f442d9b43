"""Records in a file, one a line, that several processes may add to and that a kill cannot spoil.

A line is added under the file's lock, in one piece, and is on the disk before the lock is let go. What a kill or a full
disk cut off has no end of line: readers leave it out and say so, and the next writer takes it away. Where a file system
has no locks, two that write at the same moment are not kept apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import write_errors
from resnas_deploy.files.locks import ask
from resnas_deploy.files.reading import opened

MOST_BYTES = 64_000_000  # of a file
MOST_LINE = 1_000_000  # bytes of a line
_PIECE = 65_536


@dataclass(frozen=True)
class Lines:
    """What a file holds."""

    whole: tuple[bytes, ...]  # without their ends
    torn: int  # bytes after the last whole line, which a kill cut off; 0 where there are none


def read_lines(path: Path) -> Lines:
    """Return the lines of a file. Raise `BadInput` where it cannot be read, is too long, or has a line that is."""
    with opened(path, MOST_BYTES) as file:
        found = list(_lines(file, path))
    torn = len(found.pop()) if found and not found[-1].endswith(b"\n") else 0
    return Lines(tuple(line.removesuffix(b"\n") for line in found), torn)


def check_can_append(path: Path, field: str) -> None:
    """Raise `BadInput` where no line can be added to a file, which `field` names, before the work."""
    if path.exists() and not path.is_file():
        raise BadInput(f"`{field}` must be a file's name, found {path}, which is none; name a file")
    if not path.parent.is_dir():
        raise BadInput(f"`{field}` must lie in a folder that is there, found none at {path.parent}; make it first")
    place = path if path.exists() else path.parent
    if not os.access(place, os.W_OK):
        raise BadInput(f"`{field}` must be a file that can be written, found {path}, which cannot; choose another")


def append_line(path: Path, line: bytes) -> int:
    """Add a line to a file, which is made where it is not there; return how many torn bytes were taken away.

    Raise `StorageError` or `BadInput`, with the file as it was before.
    """
    if b"\n" in line or len(line) >= MOST_LINE:
        raise BadInput(f"a line of {path} must be one of at most {MOST_LINE} bytes, found {len(line)}")
    with write_errors(path), path.open("ab+", buffering=0) as file:
        ask(file.fileno(), wait=True)  # until the file is closed
        size, end = os.fstat(file.fileno()).st_size, _end_of_lines(file)
        if end < size:
            file.truncate(end)
        try:
            _write(file, line + b"\n")
        except BaseException:
            file.truncate(end)
            raise
    return size - end


def _write(file: BinaryIO, content: bytes) -> None:
    """Write all of it, and wait until it is on the disk."""
    while content:
        content = content[file.write(content) :]
    os.fsync(file.fileno())


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    while line := file.readline(MOST_LINE + 1):
        if len(line) > MOST_LINE:
            raise BadInput(f"{path} must have lines of at most {MOST_LINE} bytes, found more; is it the right file?")
        yield line


def _end_of_lines(file: BinaryIO) -> int:
    """Return where the last whole line ends: after its end of line, or at 0."""
    start = file.seek(0, os.SEEK_END)
    while start:
        piece = min(_PIECE, start)
        start = file.seek(start - piece)
        if (at := _read(file, piece).rfind(b"\n")) >= 0:
            return start + at + 1
    return 0


def _read(file: BinaryIO, size: int) -> bytes:
    found = b""
    while len(found) < size and (piece := file.read(size - len(found))):
        found += piece
    return found
