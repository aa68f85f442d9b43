"""The file under a tar archive that is indexed: what headers say of themselves may neither take memory nor go on."""

from __future__ import annotations

import io
import os
import tarfile
from typing import BinaryIO

MOST_HEADER = 1_000_000  # bytes of one extended header: a name and some times take hundreds
MOST_IMAGE = 500_000_000  # bytes of one image's file


class Headers(io.RawIOBase):
    """A file of which only headers and labels are read: little at once, and in all no more than there is, twice over.

    Raises `tarfile.ReadError` beyond that. A damaged size would else be read whole, or lead back without an end.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._left = 2 * os.fstat(file.fileno()).st_size + MOST_HEADER

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= MOST_HEADER:
            raise tarfile.ReadError(f"an extended header of {size} bytes")
        content = self._file.read(size)
        self._left -= max(len(content), 1)
        if self._left < 0:
            raise tarfile.ReadError("headers that lead back to each other")
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if not -(2**63) <= offset < 2**63:
            raise tarfile.ReadError(f"a member at byte {offset:.3g}")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
