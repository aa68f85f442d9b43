"""Files that are kept open: what was checked is what is read later, whatever has come in their places by then."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Self

from resnas_deploy.system import here


class Held:
    """Open files by name. They are closed when nobody has this any more; a copy in another process holds none.

    In a `with` they stay open where the block ends without an error, on systems where a path leads to them then.
    """

    def __init__(self, files: dict[str, int] | None = None, copies: Mapping[str, Path] = MappingProxyType({})) -> None:
        """Hold `files`; `copies` are files of ours with the content of them, which are removed with this."""
        self._files = {} if files is None else files
        self._copies = dict(copies)

    def path(self, name: str) -> Path | None:
        """Return what leads to a file as long as it is held, whatever has its name; None where that cannot be."""
        descriptor = self._files.get(name)
        path = None if descriptor is None else here.path_of_open(descriptor)
        return self._copies.get(name) if path is None else Path(path)

    def __reduce__(self) -> tuple[type[Held], tuple[()]]:
        return Held, ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is not None or not here.HOLDS:  # nothing could lead to them, and some systems then rename nothing
            self.close()

    def close(self) -> None:
        """Close them now."""
        while self._files:
            _, descriptor = self._files.popitem()
            with suppress(OSError):
                os.close(descriptor)
        while self._copies:
            _, path = self._copies.popitem()
            with suppress(OSError):
                path.unlink()

    def __del__(self) -> None:
        self.close()


def digest(descriptor: int) -> str:
    """Return the sha256 of an open file, hexadecimal."""
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
