"""Images in one folder, with a list that says which class each is of, in any form that `list_formats` reads."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from resnas_deploy.data.folder import FolderImages
from resnas_deploy.data.list_formats import Row, read_list
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.images.listing import Ignored, Reason, entries_of, images_inside, is_image


def listed_images(folder: Path, path: Path, ignored: Ignored) -> FolderImages:
    """Return the images of a folder that the list `path` has; the others are counted in `ignored`.

    A file's name may lack its suffix, and have folders before it, which lie in `folder`. The classes are what the list
    calls them, sorted. Raise `BadInput`, with the line's number, for one that is no image of the folder, has two
    classes, or cannot be read.
    """
    rows = read_list(path)
    deep = any("/" in row.image.removeprefix("./") for row in rows)
    there = set(images_inside(folder, Ignored(), top=folder)) if deep else set(_images_in(folder))
    labels = _by_name(folder, path, rows, there) if rows[0].image else _in_order(folder, path, rows, sorted(there))
    for image in sorted(there - labels.keys()):
        ignored.add(Reason.UNLISTED, image)
    names = sorted(set(labels.values()))
    number = {label: place for place, label in enumerate(names)}
    files = sorted(labels)
    return FolderImages(
        tuple(names),
        folder,
        np.array([os.fsencode(file) for file in files]),
        np.array([number[labels[file]] for file in files], dtype=np.int64),
    )


def _images_in(folder: Path) -> list[str]:
    return [image for image in entries_of(folder, Ignored())[1] if is_image(image)]


def _by_name(folder: Path, path: Path, rows: Sequence[Row], there: Collection[str]) -> dict[str, str]:
    stems: dict[str, list[str]] = {}
    for image in there:
        stems.setdefault(os.path.splitext(image)[0], []).append(image)  # noqa: PTH122  a path's own takes four times
    labels: dict[str, str] = {}
    for row in rows:
        name = row.image.removeprefix("./")
        named = [name] if name in there else stems.get(name, [])
        if len(named) != 1:
            beside = path.parent == folder
            remedy = "put the images beside the list" if beside else "give the folder that its paths begin in as `data`"
            raise BadInput(f"{row.place} must name an image of {folder}, found {shown(row.image)}; {remedy}")
        if labels.setdefault(named[0], row.label) != row.label:
            raise BadInput(
                f"{row.place} must not name {shown(named[0])} again with another class, found {shown(row.label)}"
            )
    return labels


def _in_order(folder: Path, path: Path, rows: Sequence[Row], there: Sequence[str]) -> dict[str, str]:
    if len(rows) != len(there):
        raise BadInput(
            f"{path} must have a class for each image of {folder}, found {len(rows)} for {len(there)}; "
            "give lines PATH CLASS where images are missing"
        )
    return {image: row.label for image, row in zip(there, rows, strict=True)}
