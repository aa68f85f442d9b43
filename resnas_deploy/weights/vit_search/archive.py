"""Looks at the zip that `torch.save` writes before anything in it is read.

`torch.save` deflates nothing, so that a file takes about as much memory as it has bytes. One that was made otherwise
may take thousands of times as much.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.files.reading import opened
from resnas_deploy.weights.vit_search.pickled import check_pickle

SAVE = "save the weights alone where the file was made: torch.save({'model': network.state_dict()}, FILE)"
MOST_MEMBERS = 100_000  # of an archive: a checkpoint has one for each tensor and five more
_OLDER_PICKLES = 5
MOST_PICKLE = 4_000_000  # bytes of what says how the tensors belong together; one of 500 tensors has about 60,000
_ZIP = b"PK\x03\x04"
_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_END_SIZE, _LOCATOR_SIZE, _END64_SIZE = 22, 20, 56
_LEAST_ENTRY, _LEAST_HEADER = 46, 30  # bytes in the directory, and before a member's own


def check_archive(path: Path) -> None:
    """Raise `BadInput` for a file that `torch.save` did not write: a zip, or in its older format some pickles first."""
    with opened(path) as file:
        if file.read(len(_ZIP)) != _ZIP:
            file.seek(0)
            _check_older(file)
            return
        members = _members(file)
        if members > MOST_MEMBERS:
            raise BadInput(f"a checkpoint must have at most {MOST_MEMBERS} members, found {members}")
        try:
            with zipfile.ZipFile(file) as archive:
                if any("/code/__torch__" in name for name in archive.namelist()):
                    raise BadInput(f"a checkpoint must hold tensors by name, found a TorchScript archive; {SAVE}")
                _check_members(archive.infolist(), archive.start_dir)
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        check_pickle(io.BytesIO(archive.read(name)))
        except BadInput:
            raise
        except (zipfile.BadZipFile, NotImplementedError, ValueError, IndexError, OSError, struct.error) as error:
            raise _damaged(shortened(str(error), 100)) from None


def _check_older(file: BinaryIO) -> None:
    """Check the pickles that the older format begins with: a number, version, the system, the object, its storages."""
    start = io.BytesIO(file.read(MOST_PICKLE))
    try:
        for _ in range(_OLDER_PICKLES):
            check_pickle(start)
    except BadInput:
        raise
    except (ValueError, IndexError, OverflowError) as error:
        raise _damaged(shortened(str(error), 100)) from None


def _members(file: BinaryIO) -> int:
    """Return how many members the directory can have, by its stated size.

    Its end must be the file's, without a comment: where one may follow, two readers find two ends.
    """
    size = file.seek(0, os.SEEK_END)
    end = _read_at(file, size - _END_SIZE, _END_SIZE)
    if not end.startswith(_END) or end[-2:] != b"\0\0":
        raise _damaged("no end of its directory")
    entries, length = struct.unpack("<HI", end[10:16])
    locator = _read_at(file, size - _END_SIZE - _LOCATOR_SIZE, _LOCATOR_SIZE)
    if locator.startswith(_LOCATOR64):
        end64 = _read_at(file, struct.unpack("<Q", locator[8:16])[0], _END64_SIZE)
        if not end64.startswith(_END64):
            raise _damaged("no end of its directory")
        entries, length = struct.unpack("<QQ", end64[32:48])
    if length > size:
        raise _damaged(f"a directory of {length} bytes in a file of {size}")
    return max(int(entries), int(length) // _LEAST_ENTRY // 2)  # a name has more bytes than the entry around it


def _check_members(members: list[zipfile.ZipInfo], end: int) -> None:
    """Check that each is as long as it says, apart from the others, in a place of its own, and stored as it is."""
    if len({member.filename for member in members}) < len(members):
        raise _damaged("two members of one name")
    at = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise BadInput(
                f"a checkpoint must be as torch.save wrote it, which compresses nothing, found {shown(member.filename)}"
                " compressed; save it again with torch.save"
            )
        if member.flag_bits & 1:
            raise _damaged(f"{shown(member.filename)} encrypted")
        if member.header_offset < at:
            raise _damaged(f"{shown(member.filename)} inside another member")
        at = member.header_offset + _LEAST_HEADER + member.compress_size
        if at > end:
            raise _damaged(f"{shown(member.filename)} beyond the end")
        if member.filename.endswith("data.pkl") and member.file_size > MOST_PICKLE:
            raise BadInput(f"a checkpoint's data.pkl must have at most {MOST_PICKLE} bytes, found {member.file_size}")


def _read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    if offset < 0 or offset >= 2**63:
        raise _damaged("no end of its directory")
    file.seek(offset)
    return file.read(count)


def _damaged(found: str) -> BadInput:
    return BadInput(
        f"a checkpoint must be a whole file written by torch.save, found damaged or other data ({found}); "
        "copy it again from where it came"
    )
