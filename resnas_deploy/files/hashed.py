"""Files whose sha256 is known when they are written: what goes to the disk goes through the hash on its way.

So nothing is read again to be hashed. What a disk, or whoever writes there too, makes of a file afterwards then differs
from its hash, and shows when the file is opened; a hash of what was read back would have sealed it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class HashedFile:
    """A file that is written from its beginning to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()

    def write(self, content: bytes | memoryview) -> int:
        """Write bytes and hash them. Return their number."""
        written = self._file.write(content)
        self._hash.update(content)
        return written

    @property
    def digest(self) -> str:
        """The sha256 of what was written so far, hexadecimal."""
        return self._hash.hexdigest()


@contextmanager
def hashed_file(path: Path) -> Iterator[HashedFile]:
    """Create a file, or empty it, to be written and hashed."""
    with path.open("wb") as file:
        yield HashedFile(file)
