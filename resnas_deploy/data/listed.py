"""Images in one folder, with a list that says which class each is of: a CSV file of lines `name,class`.

ImageNet's own LOC_val_solution.csv is read as it is: `ImageId,PredictionString`, names without a suffix, and of what
each image shows `n01440764 111 2 300 4`, a WordNet id and a box in pixels, once or several times.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from resnas_deploy.data.folder import FolderImages
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.reading import read_text
from resnas_deploy.images.listing import Ignored, Reason, entries_of, is_image

SUFFIX = ".csv"
MOST_BYTES = 200_000_000  # of a list: ImageNet's training split has 60 MB
_HEADS = frozenset({"name", "image", "file", "filename", "file_name", "path", "id", "imageid", "image_id"})
_IMAGENET = ("imageid", "predictionstring")
_BOX = 5  # words of an object: its class and four numbers


def is_list(name: str) -> bool:
    """Return whether a file's name is a list's."""
    return name.lower().endswith(SUFFIX)


def listed_images(folder: Path, name: str, ignored: Ignored) -> FolderImages:
    """Return the images of a folder that its list `name` has; the others are counted in `ignored`.

    A file's name may lack its suffix. The classes are what the list calls them, sorted. Raise `BadInput`, with the
    line's number, for one that is no image of the folder, has two classes, or cannot be read.
    """
    there = {image for image in entries_of(folder, Ignored())[1] if is_image(image)}
    stems: dict[str, list[str]] = {}
    for image in there:
        stems.setdefault(os.path.splitext(image)[0], []).append(image)  # noqa: PTH122  a path's own takes four times
    labels: dict[str, str] = {}
    for place, image, label in _rows(folder / name):
        named = [image] if image in there else stems.get(image, [])
        if len(named) != 1:
            raise BadInput(
                f"{place} must name an image of {folder}, found {shown(image)}; put the images beside the list"
            )
        if labels.setdefault(named[0], label) != label:
            raise BadInput(f"{place} must not name {shown(named[0])} again with another class, found {shown(label)}")
    if not labels:
        raise BadInput(f"{folder / name} must have lines NAME,CLASS, found none")
    for image in there - labels.keys():
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


def _rows(path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the place, the name and the class of each line."""
    reader = csv.reader(read_text(path, MOST_BYTES).splitlines(), strict=True)
    of_imagenet = False
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            place = f"{path}, line {reader.line_num}"
            if reader.line_num == 1 and cells and cells[0].casefold() in _HEADS:
                of_imagenet = tuple(cell.casefold() for cell in cells) == _IMAGENET
                continue
            if not any(cells):
                continue
            if len(cells) != 2 or not all(cells):
                raise BadInput(f"{place} must be NAME,CLASS, found {shown(','.join(row))}")
            yield place, cells[0], _shown_class(cells[1], place) if of_imagenet else cells[1]
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num} must be NAME,CLASS, found: {error}") from None


def _shown_class(text: str, place: str) -> str:
    """Return the one class of ImageNet's words for what an image shows. Raise `BadInput` for several."""
    words = text.split()
    kinds = set(words[::_BOX])
    if len(words) % _BOX or len(kinds) != 1:
        raise BadInput(f"{place} must be one class with its boxes, found {shown(text)}")
    return words[0]
