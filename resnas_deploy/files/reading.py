"""Reads small files whole, and never without an end: text, JSON, and the header of a safetensors file.

Whatever a name leads to is a regular file of a stated size or is refused before a byte of it is read: a device has no
end, and a pipe keeps whoever opens it waiting. So `<(command)` and /dev/stdin are refused too: write a file first.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.system import here

MOST_TEXT = 1_000_000  # bytes of a file that people write
MOST_PARTS = 1_000_000  # lists and objects of one JSON document, each of which takes far more memory than its text
MOST_DIGITS = 30  # of a number without a point
MOST_HEADER = 16_000_000  # bytes of a safetensors file's header; one of 500 tensors has about 50,000
_LONGEST_NAME = 300  # characters of a path in a message
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def open_regular(path: Path | str, folder: here.Folder | None = None) -> int:
    """Open a file, or what a link leads to, in an open folder, and return its descriptor. Never waits.

    Raise `BadInput` that says what is there where that is no file, and `OSError`.
    """
    try:
        descriptor = here.open_to_read(path) if folder is None else folder.open(str(path))
    except FileNotFoundError:
        if leads_to := _link(path, folder):
            raise BadInput(
                f"{name_of(Path(path))} is a link to {leads_to}, where nothing is; fetch what it leads to, or copy the "
                "folder with what its links lead to (cp -rL)"
            ) from None
        raise
    except IsADirectoryError:  # of a system that opens none
        raise _no_file(path, "a folder") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _no_file(path, "a folder" if stat.S_ISDIR(mode) else "a pipe or a device")
    return descriptor


def _no_file(path: Path | str, found: str) -> BadInput:
    return BadInput(f"{name_of(Path(path))} must be a file, found {found}; name a file")


def _link(path: Path | str, folder: here.Folder | None) -> str:
    try:
        return str(Path(path).readlink()) if folder is None else folder.link(str(path))
    except OSError:
        return ""


@contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[BufferedReader]:
    """Open a regular file, or a link to one, of at most `most` bytes. Raise `BadInput`, which names it."""
    try:
        descriptor = open_regular(path)
    except BadInput:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise unreadable(path, error) from None
    try:
        if most is not None and os.fstat(descriptor).st_size > most:
            raise _too_long(path, most)
        with open(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read_bytes(path: Path, most: int = MOST_TEXT) -> bytes:
    """Return a file's bytes, at most `most`. Raise `BadInput`, which names it."""
    with opened(path, most) as file:
        try:
            content = file.read(most + 1)  # files of /proc tell no size
        except OSError as error:
            raise unreadable(path, error) from None
    if content is None:  # of /proc too: one that has nothing yet
        raise BadInput(f"{name_of(path)} must be a file, found one that does not end; name another")
    if len(content) > most:
        raise _too_long(path, most)
    return content


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """Return a file's text: UTF-8, whose byte order mark is left out. Raise `BadInput`, which names it."""
    return decoded(read_bytes(path, most), name_of(path))


def decoded(content: bytes, name: str) -> str:
    """Return UTF-8 text without its byte order mark. `name` begins the message of a `BadInput`."""
    refuse_utf16(content, name)
    if b"\0" in content:
        raise BadInput(f"{name} must be UTF-8 text, found a null character; is it the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        raise BadInput(f"{name} must be UTF-8 text, found the byte {byte:#04x}; is it the right file?") from None


def refuse_utf16(content: bytes, name: str) -> None:
    """Raise `BadInput` for text in UTF-16, as some editors of Windows save it. `name` begins the message."""
    if content.startswith(_UTF16) or (len(content) > 1 and b"\0" in content[:2] and any(content[:2])):
        raise BadInput(f"{name} must be UTF-8 text, found UTF-16; save it as UTF-8")


def read_json(path: Path, most: int = MOST_TEXT) -> object:
    """Return what a JSON file holds, read as strictly as `parse_json` does. Raise `BadInput`, which names it."""
    return parse_json(read_bytes(path, most), name_of(path))


def parse_json(content: bytes | str, name: str) -> object:
    """Parse JSON as its standard has it: no NaN, no number beyond float64, no key twice, not too many parts.

    `name` begins the message of a `BadInput`.
    """
    text = decoded(content, name) if isinstance(content, bytes) else content.removeprefix("\ufeff")
    if text.count("[") + text.count("{") > MOST_PARTS:
        raise BadInput(f"{name} must have at most {MOST_PARTS} lists and objects, found more; is it the right file?")
    try:
        return json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite, parse_int=_short_integer
        )
    except BadInput:
        raise
    except RecursionError:
        raise BadInput(
            f"{name} must be JSON, found lists or objects nested too deeply; is it the right file?"
        ) from None
    except ValueError as error:
        raise BadInput(f"{name} must be JSON, found something else (cut short?): {error}") from None


def check_tensors(path: Path) -> None:
    """Raise `BadInput` unless a file may be a safetensors file: its reader takes the header's length at its word."""
    with opened(path) as file:
        try:
            length = int.from_bytes(file.read(8), "little")
            size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise unreadable(path, error) from None
    if not 2 <= length <= min(MOST_HEADER, size - 8):
        raise BadInput(
            f"{name_of(path)} must be a whole safetensors file, found: a header of {length} bytes in a file of {size}; "
            "copy it again from where it came"
        )


def name_of(path: Path) -> str:
    """Return a file's name for a message, on one line whatever it is called."""
    text = str(path)
    return shortened(text if text.isprintable() else repr(text), _LONGEST_NAME)


def unreadable(path: Path, error: Exception) -> BadInput:
    """Return what to raise for a file that the operating system does not give."""
    return BadInput(f"{name_of(path)} must be a readable file, found: {getattr(error, 'strerror', None) or error}")


def _too_long(path: Path, most: int) -> BadInput:
    return BadInput(f"{name_of(path)} must have at most {most} bytes, found more; is it the right file?")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {shown(twice)} twice")
    return found


def _no_constant(text: str) -> object:
    raise ValueError(f"the number {text}")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:30]}, which is beyond float64")
    return value


def _short_integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)
