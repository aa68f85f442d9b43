"""The trained network that comes with the package, and pictures it has not seen: as files in a folder of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.atomic import Taken, atomic_folder
from resnas_deploy.files.reading import read_bytes
from resnas_deploy.images.listing import is_image

CHECKPOINT, PICTURES, LICENCE = "checkpoint.safetensors", "pictures", "LICENSE.txt"  # the last of the pictures
_MOST = 8 << 20  # bytes of one file
_REMEDY = "choose another `out`"


def write_demo(folder: Path) -> None:
    """Write the checkpoint, `pictures/` (28 x 28 pixels, one of each class) and their licence, or leave the same files.

    Raise `BadInput` where something else is there, which is left as it is.
    """
    contents = _contents()
    if _is_there(folder, contents):
        return
    if folder.name in ("", ".."):
        raise BadInput(f"`out` must be a folder with a name of its own, found {shown(str(folder))}; name another")
    try:
        with atomic_folder(folder, lambda path: path.is_dir() and not any(path.iterdir()), remedy=_REMEDY) as partial:
            (partial / PICTURES).mkdir()
            for name, content in contents.items():
                (partial / name).write_bytes(content)
    except Taken:
        if not _is_there(folder, contents):  # else it was another's that did the same meanwhile
            raise


def _contents() -> Mapping[str, bytes]:
    """Return the files by their names in the folder; the package may lie in a zip archive."""
    kept = files("resnas_deploy.data") / "fashion-mnist"
    return MappingProxyType({str(name): item.read_bytes() for name, item in _sources(kept)})


def _sources(kept: Traversable) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for name in (CHECKPOINT, LICENCE):
        yield PurePosixPath(name), kept / name
    for item in sorted((kept / PICTURES).iterdir(), key=lambda item: item.name):
        if is_image(item.name):
            yield PurePosixPath(PICTURES, item.name), item


def _is_there(folder: Path, contents: Mapping[str, bytes]) -> bool:
    """Return whether every file is there as it was written; what lies beside them is the user's."""
    return all(
        (folder / name).is_file() and read_bytes(folder / name, _MOST) == content for name, content in contents.items()
    )
