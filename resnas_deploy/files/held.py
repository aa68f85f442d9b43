"""Files that are kept open: what was checked is what is read later, whatever has come in their places by then."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

_DESCRIPTORS = Path("/proc/self/fd")


class Held:
    """Open files by name. They are closed when nobody has this any more; a copy in another process holds none.

    In a `with` they stay open where the block ends without an error.
    """

    def __init__(self, files: dict[str, int] | None = None) -> None:
        self._files = {} if files is None else files

    def path(self, name: str) -> Path | None:
        """Return what leads to a file as long as it is held, whatever has its name; None where that cannot be."""
        descriptor = self._files.get(name)
        path = _DESCRIPTORS / str(descriptor)
        return path if descriptor is not None and path.exists() else None

    def __reduce__(self) -> tuple[type[Held], tuple[()]]:
        return Held, ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is not None:
            self.close()

    def close(self) -> None:
        """Close them now."""
        while self._files:
            _, descriptor = self._files.popitem()
            with suppress(OSError):
                os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def digest(descriptor: int) -> str:
    """Return the sha256 of an open file, hexadecimal."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
