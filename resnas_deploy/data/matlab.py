"""Arrays of structures in MATLAB's files of level 5, of which numbers and texts are read.

The format: MathWorks, "MAT-File Format", chapter 1, "Level 5 MAT-File Format". SciPy's reader, which is compiled, ends
the process on some damaged files; this one looks at bytes within their bounds alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator

_HEADER = 128  # bytes
_MOST = 100_000_000  # bytes that what is compressed may have
_MOST_FIELDS = 1000
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _CHAR, _FIRST_NUMBER, _LAST_NUMBER = 2, 4, 6, 15  # classes of arrays
_FORMATS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}

Value = float | str | None  # None of what is neither


def structures(content: bytes, name: str, fields: Collection[str]) -> Iterator[dict[str, Value]]:
    """Yield some fields of each structure of the array of that name. Raise `ValueError` for what is damaged."""
    order = {b"IM": "<", b"MI": ">"}.get(content[_HEADER - 2 : _HEADER])
    if order is None:
        raise ValueError("no MATLAB file of level 5")
    for kind, element in _elements(content[_HEADER:], order):
        inner = [(kind, element)] if kind != _COMPRESSED else _elements(_unpacked(element), order)
        for each, matrix in inner:
            if each == _MATRIX and (found := _Matrix(matrix, order)).name == name:
                yield from found.structures(fields)
                return
    raise ValueError(f"no array {name}")


def _unpacked(element: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        found = reader.decompress(element, _MOST)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not reader.eof:
        raise ValueError("compressed data that does not end")
    return found


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and bytes of each data element, the small ones too, which have both in eight bytes."""
    place = 0
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        if kind >> 16:
            kind, size, start, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        else:
            start = place + 8
            end = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(content):
            raise ValueError("an element that is cut short")
        yield kind, content[start : start + size]
        place = end


class _Matrix:
    """An array: its class, its name, and the elements after these."""

    def __init__(self, content: bytes, order: str) -> None:
        self._order, self._parts = order, _elements(content, order)
        flags, dimensions, name = (next(self._parts, (0, b""))[1] for _ in range(3))
        self.kind = struct.unpack(f"{order}I", flags[:4])[0] & 0xFF if len(flags) >= 4 else 0
        self.count = 1
        for size in struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions[: len(dimensions) // 4 * 4]):
            self.count *= max(size, 0)
        self.name = name.decode("latin-1")

    def structures(self, fields: Collection[str]) -> Iterator[dict[str, Value]]:
        """Yield the wanted fields of each structure."""
        (_, length), (_, names) = (next(self._parts, (0, b"")) for _ in range(2))
        width = struct.unpack(f"{self._order}i", length)[0] if len(length) == 4 else 0
        if self.kind != _STRUCT or width < 1 or len(names) > _MOST_FIELDS * width:
            raise ValueError("an array that is none of structures")
        known = [
            names[start : start + width].split(b"\0")[0].decode("latin-1") for start in range(0, len(names), width)
        ]
        if missing := [name for name in fields if name not in known]:
            raise ValueError(f"no field {missing[0]}")
        for _ in range(self.count):
            found: dict[str, Value] = {}
            for name in known:
                kind, element = next(self._parts, (0, b""))
                if kind != _MATRIX:
                    raise ValueError("a structure that is cut short")
                if name in fields:
                    found[name] = _Matrix(element, self._order).value() if element else None
            yield found

    def value(self) -> Value:
        """Return a text, or the first of numbers."""
        kind, element = next(self._parts, (0, b""))
        if self.kind == _CHAR and kind in _TEXTS:
            encoding = _TEXTS[kind]
            ending = {"<": "-le", ">": "-be"}[self._order] if encoding in ("utf-16", "utf-32") else ""
            return element.decode(encoding + ending, errors="replace")
        if _FIRST_NUMBER <= self.kind <= _LAST_NUMBER and kind in _FORMATS:
            form = f"{self._order}{_FORMATS[kind]}"
            if len(element) >= struct.calcsize(form):
                return float(struct.unpack_from(form, element)[0])
        return None
