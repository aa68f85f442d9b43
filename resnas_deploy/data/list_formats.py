"""Lists that say which class each image is of, in the forms that people have them in.

- CSV: lines `name,class`, or ImageNet's own LOC_val_solution.csv: `ImageId,PredictionString`, and of what each image
  shows `n01440764 111 2 300 4`, a WordNet id and a box in pixels, once or several times.
- Text: lines `path class`, as Caffe's val.txt, the two apart by a tab or by the line's last blank.
- Text: a class a line, of the images in the order of their names, as ImageNet's development kit has it. There classes
  are numbered by ILSVRC2012_ID, in an order of the kit's own, which its meta.mat tells (its readme.txt, section 3).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.data.devkit import ids_by_number
from resnas_deploy.errors import BadInput, shown, whole_number
from resnas_deploy.files.reading import read_text

CSV = ".csv"
MOST_BYTES = 200_000_000  # of a list: ImageNet's training split has 60 MB
_HEADS = frozenset({"name", "image", "file", "filename", "file_name", "path", "id", "imageid", "image_id"})
_IMAGENET = ("imageid", "predictionstring")
_BOX = 5  # words of an object: its class and four numbers
_GROUND_TRUTH = "ground_truth"  # in the name of the development kit's list
_KIT_CLASSES = 1000


@dataclass(frozen=True)
class Row:
    """A line of a list."""

    place: str  # file and line, for messages
    image: str  # empty where a line has the class alone
    label: str


def is_csv(name: str) -> bool:
    """Return whether a file's name is a CSV list's."""
    return name.lower().endswith(CSV)


def read_list(path: Path) -> Sequence[Row]:
    """Return the lines of a list: all with images, or none. Raise `BadInput`, with the line's number."""
    rows = list(_csv_rows(path)) if is_csv(path.name) else list(_text_rows(path))
    if not rows:
        lines = "NAME,CLASS" if is_csv(path.name) else "PATH CLASS, or a class for each image"
        raise BadInput(f"{path} must have lines {lines}, found none")
    if (found := next((row for row in rows if bool(row.image) != bool(rows[0].image)), None)) is not None:
        raise BadInput(f"{found.place} must be as the first line, {'PATH CLASS' if rows[0].image else 'a class alone'}")
    if len(rows) > 1 and rows[0].image and all(row.label == str(number) for number, row in enumerate(rows, 1)):
        raise BadInput(
            f"{path} must say which class each image is of, found that it numbers its lines, as ImageNet's "
            "ImageSets/CLS-LOC/val.txt does; give LOC_val_solution.csv"
        )
    return rows if rows[0].image else _with_ids(path, rows)


def _csv_rows(path: Path) -> Iterator[Row]:
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
            yield Row(place, cells[0], _shown_class(cells[1], place) if of_imagenet else cells[1])
    except csv.Error as error:
        raise BadInput(f"{path}, line {reader.line_num} must be NAME,CLASS, found: {error}") from None


def _shown_class(text: str, place: str) -> str:
    """Return the one class of ImageNet's words for what an image shows. Raise `BadInput` for several."""
    words = text.split()
    kinds = set(words[::_BOX])
    if len(words) % _BOX or len(kinds) != 1:
        raise BadInput(f"{place} must be one class with its boxes, found {shown(text)}")
    return words[0]


def _text_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(read_text(path, MOST_BYTES).splitlines(), start=1):
        image, _, label = line.partition("\t") if "\t" in line else line.strip().rpartition(" ")
        if label.strip():
            yield Row(f"{path}, line {number}", image.strip(), label.strip())
        elif image.strip():
            raise BadInput(f"{path}, line {number} must be PATH CLASS, found {shown(line)}")


def _with_ids(path: Path, rows: Sequence[Row]) -> Sequence[Row]:
    """Return a class a line by WordNet ids, where they are the development kit's numbers."""
    numbers = [whole_number(row.label, _KIT_CLASSES) for row in rows]
    plain = [number for number in numbers if number]
    if len(plain) != len(rows) or not (_GROUND_TRUTH in path.name or max(plain) == _KIT_CLASSES):
        return rows
    ids = ids_by_number(path.parent, f"{path} has ImageNet's own numbers (ILSVRC2012_ID), which")
    return [Row(row.place, "", _id(ids, number, row.place)) for row, number in zip(rows, plain, strict=True)]


def _id(ids: dict[int, str], number: int, place: str) -> str:
    if number not in ids:
        raise BadInput(f"{place} must be an ILSVRC2012_ID of meta.mat, found {number}")
    return ids[number]
