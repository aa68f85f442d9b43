"""Names of the classes that a network tells apart."""

from __future__ import annotations

import codecs
import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path

from resnas_deploy.errors import BadInput
from resnas_deploy.files.reading import read_bytes, refuse_utf16

MAX_FILE_BYTES = 16 * 1024 * 1024
"""Largest file of class names; anything larger is some other file, named by mistake."""


@cache
def imagenet_class_names() -> tuple[str, ...]:
    """Return the 1000 names of the ImageNet-1k classes, in class order."""
    text = (files("resnas_deploy.images") / "assets" / "imagenet_classes.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


@cache
def imagenet_wordnet_ids() -> tuple[str, ...]:
    """Return the WordNet ids of the 1000 ImageNet-1k classes, in class order: the names of its folders."""
    text = (files("resnas_deploy.images") / "assets" / "imagenet_wordnet_ids.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def read_class_names(path: Path, classes: int) -> tuple[str, ...]:
    """Return the `classes` names in a UTF-8 text file, one a line, without surrounding blanks.

    Raise BadInput, naming the file, when it cannot be read or the count differs, and, with the line number, when a
    line is empty, is not UTF-8 or holds control characters. Names may repeat.
    """
    name = repr(str(path))  # repr keeps the message on one line, whatever the file is called
    try:
        content = read_bytes(path, MAX_FILE_BYTES)
    except BadInput as error:
        raise BadInput(f"class names must be in a text file: {error}") from None
    refuse_utf16(content, name)
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")  # with which Windows editors begin
    if lines[-1] == b"":  # what follows the last newline is no line
        lines.pop()
    names = tuple(_decode(line, f"{name}, line {number}") for number, line in enumerate(lines, 1))
    if len(names) != classes:
        raise BadInput(
            f"{name} must name {classes} classes, one a line; found {len(names)}; use the list the network was "
            "trained with"
        )
    return names


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
