"""Names of the classes that a network tells apart."""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path

from resnas_deploy.errors import BadInput

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Largest file of class names; anything larger is some other file, named by mistake."""


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """Return the 1000 names of the ImageNet-1k classes, in class order."""
    text = (files("resnas_deploy") / "assets" / "imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def read_class_names(path: Path, classes: int) -> tuple[str, ...]:
    """Return the `classes` names in a UTF-8 text file, one a line, without surrounding blanks.

    Raises BadInput, naming the file, when it cannot be read or the count differs, and, with the line number, when a
    line is empty, is not UTF-8 or holds control characters. Names may repeat.
    """
    name = repr(str(path))  # repr keeps the message on one line, whatever the file is called
    lines = _read(path, name).removeprefix(b"\xef\xbb\xbf").split(b"\n")  # Windows editors begin with these three bytes
    if lines[-1] == b"":  # what follows the last newline is no line
        lines.pop()
    names = tuple(_decode(line, f"{name}, line {number}") for number, line in enumerate(lines, 1))
    if len(names) != classes:
        raise BadInput(
            f"{name} must name {classes} classes, one a line; found {len(names)}; use the list the network was "
            "trained with"
        )
    return names


def _read(path: Path, name: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise BadInput(f"{name} must be a text file of class names; found a directory or a device; name a file")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{name} must be a text file of class names; reading it failed: {reason}") from error
    if len(data) > MAX_FILE_BYTES:
        raise BadInput(f"{name} must be a text file of at most {MAX_FILE_BYTES} bytes; found more; check the path")
    return data


def _decode(line: bytes, place: str) -> str:
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise BadInput(f"{place}: must be UTF-8 text; found the byte {line[error.start]:#04x}; convert it") from error
    if not text:
        raise BadInput(f"{place}: must hold a class name; found an empty line; remove it")
    if any(unicodedata.category(c) == "Cc" for c in text):  # names are printed, and these can garble a terminal
        raise BadInput(f"{place}: must hold a class name; found a control character; remove it")
    return text
