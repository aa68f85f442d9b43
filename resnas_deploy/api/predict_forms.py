"""Predictions as text: a line of CSV for each class, a line of JSON for each image, or one JSON document of all."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.errors import BadInput, shown

if TYPE_CHECKING:
    from resnas_deploy.runners.classify import Guess  # which imports numpy

CSV, LINES, DOCUMENT = "csv", "jsonl", "json"  # the forms, as files end
CSV_HEAD = "image,rank,class,name,probability\n"


@dataclass(frozen=True)
class Prediction:
    """The likeliest classes of one image, the likeliest first; or what is wrong with it."""

    image: Path
    top: tuple[Guess, ...]
    error: str = ""  # one line, of an image that could not be read, or of a name that names none; then there is no top

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON: a line of what `resnas predict --jsonl` prints."""
        if self.error:
            return {"image": str(self.image), "error": self.error}
        return {"image": str(self.image), "top": [guess.to_json() for guess in self.top]}


def json_line(prediction: Prediction) -> str:
    """Return a line of JSON, ASCII alone."""
    return json.dumps(prediction.to_json()) + "\n"


def csv_lines(prediction: Prediction) -> str:
    """Return a line of CSV (RFC 4180, but for its line ends) for each class; none of what could not be read."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for rank, guess in enumerate(prediction.top, 1):
        writer.writerow((prediction.image, rank, guess.number, guess.name or "", guess.probability))
    return text.getvalue()


def form_of(path: Path) -> str:
    """Return the form that a file's name ends in. Raise `BadInput` for another end."""
    if (form := path.suffix.lower().removeprefix(".")) in (CSV, LINES, DOCUMENT):
        return form
    raise BadInput(f"`out` must end in .{CSV}, .{LINES} or .{DOCUMENT}, found {shown(path.name)}")
