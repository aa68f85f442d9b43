"""The images that people name: files, folders, patterns, and lists of files, one by one, however many there are."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from resnas_deploy.errors import BadInput
from resnas_deploy.files.reading import name_of, opened, refuse_utf16, unreadable
from resnas_deploy.images.listing import each_image_below

STDIN, LIST = "-", "@"  # standard input as a list, and what the name of a file that is one begins with
_MOST_LINE = 65_536  # bytes of a path in a list: more than any system takes
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Named:
    """An image, or what else was named, and why that names none."""

    path: Path
    problem: str = ""  # one line


def images_named(given: Iterable[str | Path], *, notes: bool = True) -> Iterator[Named]:
    """Yield the images that are named, in order, each as it is come to: files are not opened here.

    A path is a file, or a folder of images at any depth. A text may also be `-`, standard input, or `@FILE`, which are
    lists: a file or folder a line, relative to the working folder; or a pattern with `*`, `?`, `[..]` or `**`, whose
    matches are sorted. What is there by that very name is meant first. What names nothing is yielded with the problem,
    and the others go on. With `notes`, what is passed over in folders is logged.
    """
    for each in given:
        if isinstance(each, Path) or (each != STDIN and os.path.lexists(each)):
            yield from _inside(Path(each), notes=notes)
        elif is_read_once(each):
            yield from _listed(Path(STDIN), _stdin(), notes=notes)
        elif each.startswith(LIST) and len(each) > 1:
            path = Path(each[1:])
            yield from _listed(path, opened(path), notes=notes)
        elif glob.has_magic(each):
            yield from _matching(each, notes=notes)
        else:
            yield Named(Path(each))


def is_read_once(given: str | Path) -> bool:
    """Return whether what is named can be gone through only once."""
    return given in (STDIN, LIST + STDIN)


def _inside(path: Path, *, notes: bool) -> Iterator[Named]:
    """Yield the images below a folder, or the file itself, whatever it is."""
    if not _is_folder(path):
        yield Named(path)
        return
    try:
        for image in each_image_below(path, notes=notes):
            yield Named(image)
    except BadInput as error:
        yield Named(path, str(error))


def _matching(pattern: str, *, notes: bool) -> Iterator[Named]:
    try:
        found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  a path's own cannot take an absolute one
    except (OSError, ValueError) as error:
        found, reason = [], f": {error}"
    else:
        reason = ""
    if not found:
        yield Named(Path(pattern), f"{pattern!r} must be the name of an image, or match some; found none{reason}")
    for match in found:
        yield from _inside(Path(match), notes=notes)


def _listed(path: Path, source: AbstractContextManager[BinaryIO], *, notes: bool) -> Iterator[Named]:
    """Yield what a list names. What is wrong with the list itself comes last."""
    name = "standard input" if str(path) == STDIN else name_of(path)
    empty = True
    try:
        with source as file, closing(_lines(file, name)) as lines:
            for line in lines:
                empty = False
                yield from _inside(Path(os.fsdecode(line)), notes=notes)
    except BadInput as error:
        yield Named(path, str(error))
        return
    except OSError as error:
        yield Named(path, str(unreadable(path, error)))
        return
    if empty:
        yield Named(path, f"{name} must be a list of images, one path a line, found no line; name another")


def _lines(file: BinaryIO, name: str) -> Generator[bytes, None, None]:
    """Yield the lines without their ends, but for those that are empty. Raise `BadInput` where they are no paths."""
    number = 0
    while line := file.readline(_MOST_LINE + 1):
        number += 1
        if number == 1:
            refuse_utf16(line, name)
            line = line.removeprefix(_BOM)
        if len(line) > _MOST_LINE or b"\0" in line:
            found = "a null character" if b"\0" in line else f"more than {_MOST_LINE} bytes"
            raise BadInput(f"{name} must be a list of images, one path a line, found {found} in line {number}")
        if line := line.rstrip(b"\r\n"):
            yield line


@contextmanager
def _stdin() -> Iterator[BinaryIO]:
    """Yield standard input, which stays open."""
    there: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    if there is None:  # as in a notebook
        raise BadInput("'-' must be where there is a standard input, found none; give `images` the list itself")
    yield there


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # a name that is too long, or with a null character
        return False
