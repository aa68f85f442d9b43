"""WebDataset shards: tar files in which `KEY.jpg` and `KEY.cls` make a sample.

The format: https://github.com/webdataset/webdataset, "The WebDataset Format". The shards are indexed once, by their
headers alone, so that a run can be resumed at any step; a shard's images are then read together.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from resnas_deploy.data.labelled import Indices
from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.files.reading import opened, read_bytes
from resnas_deploy.images.class_names import MAX_FILE_BYTES, read_class_names
from resnas_deploy.images.crops import Choose, read_crop
from resnas_deploy.images.decode import read_image
from resnas_deploy.images.listing import SUFFIXES, Ignored, Reason, entries_of, is_leftover_path
from resnas_deploy.system import here

SUFFIX = ".tar"
MOST_LABEL_BYTES = 20
MOST_CLASSES = 100_000
MOST_HEADER = 1_000_000  # bytes of one extended header: a name and some times take hundreds
MOST_IMAGE = 500_000_000  # bytes of one image's file
CLASS_NAMES = "classes.txt"  # beside train/ and val/: a name a line, by class number


@dataclass(frozen=True)
class ShardImages:
    """The samples of several tar files, in the order in which they lie there."""

    class_names: tuple[str, ...]
    labels: Indices
    shards: tuple[Path, ...]
    shard: Indices  # of each sample
    offset: Indices  # of its image, bytes
    size: Indices
    keys: tuple[str, ...]

    @property
    def chunks(self) -> Sequence[Indices]:
        return [np.flatnonzero(self.shard == number) for number in range(len(self.shards))]

    def name(self, index: int) -> str:
        return f"{self.shards[self.shard[index]].name}/{self.keys[index]}"

    def image(self, index: int) -> Image.Image:
        return read_image(*self._file(index))

    def crop(self, index: int, choose: Choose, side: int) -> Image.Image:
        return read_crop(*self._file(index), choose, side)

    def _file(self, index: int) -> tuple[BinaryIO, str]:
        """Return an image's file, and what messages call it."""
        path = self.shards[self.shard[index]]
        name = f"{path}, {self.keys[index]}"
        try:
            with opened(path) as file:
                content = here.read_at(file.fileno(), int(self.size[index]), int(self.offset[index]))
        except OSError as error:
            raise BadInput(f"{name} must be readable, found: {error.strerror}") from None
        return io.BytesIO(content), repr(name)


def is_shard(name: str) -> bool:
    """Return whether a file's name is a shard's."""
    return name.endswith(SUFFIX)


def shard_images(folder: Path, ignored: Ignored | None = None) -> ShardImages:
    """Index the tar files of a folder. What is passed over, in them too, is counted in `ignored`.

    Raise `BadInput`, which names the shard and the sample.
    """
    ignored = ignored or Ignored()
    folders, files = entries_of(folder, ignored)
    for name in [*folders, *(name for name in files if not is_shard(name))]:
        ignored.add(Reason.BESIDE, name)
    shards = [folder / name for name in files if is_shard(name)]
    labels: list[int] = []
    places: list[tuple[int, int, int]] = []
    keys: list[str] = []
    for number, path in enumerate(shards):
        for key, label, offset, size in _samples(path, ignored):
            keys.append(key)
            labels.append(label)
            places.append((number, offset, size))
    if not keys:
        passed = f" (ignored: {ignored})" if ignored.counts else ""
        raise BadInput(f"the shards of {folder} must hold samples of an image and a .cls each, found none{passed}")
    count = max(labels) + 1
    names = folder.parent / CLASS_NAMES
    class_names = read_class_names(names, _lines(names)) if names.exists() else tuple(map(str, range(count)))
    if count > len(class_names):
        raise BadInput(f"{names} must name every class, found {len(class_names)} names and the class {count - 1}")
    where = np.array(places, dtype=np.int64)
    return ShardImages(
        class_names, np.array(labels, dtype=np.int64), tuple(shards), where[:, 0], where[:, 1], where[:, 2], tuple(keys)
    )


def _samples(path: Path, ignored: Ignored) -> list[tuple[str, int, int, int]]:
    """Return key, class, offset and size of each image."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    labels: dict[str, int] = {}
    try:
        with opened(path) as file, tarfile.open(fileobj=_Headers(file), mode="r:") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                if is_leftover_path(member.name):
                    ignored.add(Reason.LEFTOVER, f"{path.name}/{member.name}")
                    continue
                if member.issparse():
                    raise BadInput(f"{path}, {shown(member.name)} must be stored whole, found it sparse; pack it again")
                folder, slash, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")  # a key ends at the first dot of the file's name
                key = folder + slash + stem
                if suffix == "cls":
                    labels[key] = _label(archive, member, f"{path}, {member.name}")
                elif f".{suffix.lower()}" in SUFFIXES:
                    if not 0 <= member.size <= MOST_IMAGE:
                        raise BadInput(
                            f"{path}, {shown(member.name)} must have at most {MOST_IMAGE} bytes, found {member.size}"
                        )
                    found.setdefault(key, {})[suffix] = (member.offset_data, member.size)
    except BadInput:
        raise
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError) as error:
        reason = shortened(" ".join(str(error).split()), 200)
        raise BadInput(f"{path} must be a whole, uncompressed tar file, found: {reason}") from None
    if found and not labels:
        raise BadInput(
            f"{path} must have a .cls beside each image, found none, so it is no shard; where it holds one class's "
            f"images, as ImageNet's do, unpack it into the folder {path.with_suffix('')}"
        )
    if lonely := [key for key in found.keys() | labels.keys() if key not in found or key not in labels]:
        raise BadInput(f"{path}: every sample must have an image and a .cls, found {shown(min(lonely))} with one alone")
    return [(key, labels[key], *next(iter(images.values()))) for key, images in found.items()]


def _label(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str) -> int:
    file = archive.extractfile(member)
    text = file.read(MOST_LABEL_BYTES).strip() if file and member.size <= MOST_LABEL_BYTES else b""
    if not (text.isascii() and text.isdigit()) or int(text) >= MOST_CLASSES:
        raise BadInput(f"{name} must be a class number from 0, found {shown(text)}")
    return int(text)


def _lines(path: Path) -> int:
    return len(read_bytes(path, MAX_FILE_BYTES).splitlines())


class _Headers(io.RawIOBase):
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
