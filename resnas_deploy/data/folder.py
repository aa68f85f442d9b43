"""Image folders: a folder for each class, with its pictures in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnas_deploy.data.pictures import Indices
from resnas_deploy.errors import BadInput
from resnas_deploy.images import load_image

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})


@dataclass(frozen=True)
class FolderPictures:
    """The pictures of a folder of class folders, sorted by name."""

    class_names: tuple[str, ...]
    folder: Path
    names: NDArray[np.bytes_]  # of the files, in the folder: an array, for millions of them go to every worker
    labels: Indices

    @property
    def runs(self) -> Sequence[Indices]:
        return [np.arange(len(self.names))]

    def picture(self, index: int) -> Image.Image:
        return load_image(self.folder / os.fsdecode(self.names[index]))


def folder_pictures(folder: Path) -> FolderPictures:
    """Find the pictures; none is opened. Raises `BadInput` for a class without any."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise BadInput(f"{folder} must hold a folder for each class, found none")
    names: list[bytes] = []
    labels: list[int] = []
    for number, inside in enumerate(classes):
        found = sorted(path for path in inside.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not found:
            raise BadInput(
                f"{inside} must hold at least one picture ({', '.join(sorted(SUFFIXES))}), found none; "
                "add some, or remove the folder"
            )
        names += [os.fsencode(path.relative_to(folder)) for path in found]
        labels += [number] * len(found)
    class_names = tuple(path.name for path in classes)
    return FolderPictures(class_names, folder, np.array(names), np.array(labels, dtype=np.int64))
