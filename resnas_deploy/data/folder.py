"""Image folders: a folder for each class, with its images in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from resnas_deploy.data.class_match import check_tellable
from resnas_deploy.data.labelled import Indices
from resnas_deploy.errors import BadInput
from resnas_deploy.images.crops import Choose, load_crop
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.listing import SUFFIXES, Ignored, Reason, entries_of, images_inside, is_image

_FLAT = "ILSVRC2012_val_"  # begins the names of ImageNet's validation images, which come in one folder


@dataclass(frozen=True)
class FolderImages:
    """The images of a folder of class folders, sorted by name."""

    class_names: tuple[str, ...]
    folder: Path
    names: NDArray[np.bytes_]  # of the files, in the folder: an array, for millions of them go to every worker
    labels: Indices

    @property
    def chunks(self) -> Sequence[Indices]:
        return [np.arange(len(self.names))]

    def name(self, index: int) -> str:
        return os.fsdecode(self.names[index])

    def image(self, index: int) -> Image.Image:
        return load_image(self._path(index))

    def crop(self, index: int, choose: Choose, side: int) -> Image.Image:
        return load_crop(self._path(index), choose, side)

    def _path(self, index: int) -> Path:
        return self.folder / self.name(index)


def folder_images(folder: Path, ignored: Ignored) -> FolderImages:
    """Find the images; none is opened. What is passed over is counted in `ignored`.

    Raise `BadInput` for a class without any, for two classes that are one, and for a folder that cannot be read.
    """
    classes, beside = entries_of(folder, ignored)
    for name in beside:
        ignored.add(Reason.OUTSIDE, name)
    if not classes:
        raise _without_classes(folder, [name for name in beside if is_image(name)], ignored)
    check_tellable(classes, folder)
    _check_apart(folder, classes)
    names: list[bytes] = []
    labels: list[int] = []
    for number, name in enumerate(classes):
        inside = folder / name
        found = images_inside(inside, ignored, top=folder)
        if not found:
            raise BadInput(
                f"{inside} must hold at least one image ({', '.join(sorted(SUFFIXES))}), found none; "
                "add some, or remove the folder"
            )
        names += [os.fsencode(f"{name}/{path}") for path in found]
        labels += [number] * len(found)
    return FolderImages(tuple(classes), folder, np.array(names), np.array(labels, dtype=np.int64))


def _without_classes(folder: Path, images: Sequence[str], ignored: Ignored) -> BadInput:
    found, remedy = "none", "put the images into such"
    if images:
        more = len(images) > 1
        found = f"{len(images)} image{'s' * more} outside of one ({images[0]}{', ..' * more})"
        remedy = "move each into the folder of its class"
        if images[0].startswith(_FLAT):
            remedy += ", such as n01440764: LOC_val_solution.csv, or ImageNet's development kit, says which is whose"
    if ignored.counts:
        found += f" (ignored: {ignored})"
    return BadInput(f"{folder} must hold a folder for each class, found {found}; {remedy}")


def has_images(folder: Path, classes: Sequence[str]) -> bool:
    """Return whether any of these folders in it holds an image."""
    return any(images_inside(folder / name, Ignored(), top=folder) for name in classes)


def _check_apart(folder: Path, classes: Sequence[str]) -> None:
    """Raise `BadInput` where two class folders are links to one: its images would be of both classes."""
    seen: dict[str, str] = {}
    for name in classes:
        first = seen.setdefault(os.path.realpath(folder / name), name)
        if first != name:
            raise BadInput(
                f"every class of {folder} must be a folder of its own, found {first!r} and {name!r} leading to one; "
                "remove one of the links"
            )
