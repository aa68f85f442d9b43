"""Predicting: the likeliest classes of image files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.api.predict_forms import CSV, CSV_HEAD, DOCUMENT, Prediction, csv_lines, form_of, json_line
from resnas_deploy.api.predicting import predictions
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.files.outputs import write_text
from resnas_deploy.progress import Progress, silent


@dataclass(frozen=True)
class Predictions(Tabular):
    """What a network takes images for, and which of them could not be read."""

    label: str  # of the artifact
    trained: bool  # or the classes mean nothing
    runner: str
    images: tuple[Prediction, ...]
    errors: tuple[str, ...]  # one for each image that could not be read

    def to_json(self) -> dict[str, object]:
        """Return what `resnas predict --json` prints."""
        return {
            "label": self.label,
            "trained": self.trained,
            "runner": self.runner,
            "images": [image.to_json() for image in self.images],
            "errors": list(self.errors),
        }

    @checked
    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write a file that ends in .csv, .jsonl (a JSON line an image) or .json (one document).

        Raise `BadInput` for another end, and where a file is there that `force` does not replace.
        """
        path = Path(path)
        form = form_of(path)
        if form == DOCUMENT:
            text = json.dumps(self.to_json(), indent=1) + "\n"
        elif form == CSV:
            text = CSV_HEAD + "".join(map(csv_lines, self.images))
        else:
            text = "".join(map(json_line, self.images))
        write_text(path, text, replace=force)

    def table(self) -> Table:
        """Return a row for each class of each image."""
        rows = [
            (str(found.image) if rank == 0 else "", str(guess), f"{100 * guess.probability:.1f} %")
            for found in self.images
            for rank, guess in enumerate(found.top)
        ]
        return Table(f"{self.label} on {self.runner}", ("image", "class", "probability"), rows, text_columns=2)


@checked
def predict(
    artifact: str | Path | Artifact,
    images: str | Path | Sequence[str | Path],
    *,
    top: int = 5,
    batch: int | None = None,
    runner: str = "",
    engine: str | Path = "",
    device: str = "",
    tf32: bool = False,
    threads: int = 0,
    progress: Progress = silent,
) -> Predictions:
    """Classify image files, and those in folders. What cannot be read is named in the result's `errors`.

    All are returned at once: `predictions` yields them as they are made. The arguments, and what is raised, are its.
    """
    results, errors = list[Prediction](), list[str]()
    with predictions(
        artifact,
        images,
        top=top,
        batch=batch,
        runner=runner,
        engine=engine,
        device=device,
        tf32=tf32,
        threads=threads,
        progress=progress,
    ) as found:
        for prediction in found:
            if prediction.error:
                errors.append(prediction.error)
            else:
                results.append(prediction)
        return Predictions(found.label, found.trained, found.runner, tuple(results), tuple(errors))
