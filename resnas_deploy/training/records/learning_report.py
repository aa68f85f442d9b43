"""The report of a run that has ended: one page of HTML that needs no other file and no network."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.measuring.plots import as_svg
from resnas_deploy.pages.page import Drawing, Items, Page, Part, Section, Text
from resnas_deploy.pages.table import Table
from resnas_deploy.training.evaluate import ValidationAccuracy
from resnas_deploy.training.records.curves import by_epoch, drawn
from resnas_deploy.training.records.status import RunStatus, status_of

FILE = "report.html"
_MOST_SKIPPED = 100  # of the images that could not be read, by name
_NO_DRAWING = "The curves are not drawn: the package matplotlib is not installed (pip install matplotlib)."


def write_report(folder: Path, accuracy: ValidationAccuracy, skipped: Sequence[str]) -> None:
    """Write `report.html` into the folder of a run. Weights are there already: what goes wrong here is a note."""
    try:
        text = page(status_of(folder), accuracy, skipped).html()
        with atomic_file(folder / FILE) as partial:
            partial.write_text(text, encoding="utf-8", newline="\n")
    except (BadInput, StorageError) as error:
        logging.getLogger(__name__).warning("the report of the run is not written: %s", error)


def page(status: RunStatus, accuracy: ValidationAccuracy, skipped: Sequence[str]) -> Page:
    """Return the page: what was trained, how good it is, its curves, and what it was trained with."""
    name = Path(status.folder).resolve().name
    run = status.run
    what = f"{run.what}, on {run.data}" if run else "a training run"
    return Page(
        name,
        (
            Text(f"{what}: {status.epoch} epochs. {accuracy}."),
            Section("Curves", (_curves(status, name),)),
            *_tabled("Subnets at the end", _subnets(status.last)),
            *_tabled("Epochs", by_epoch(status.curves)),
            Section("Images that could not be read", _skipped((*skipped, *accuracy.unreadable))),
            *_tabled("Checkpoints", [("file",), *((path,) for path in status.kept)]),
            *_tabled("Recipe", [("key", "value"), *((key, str(value)) for key, value in status.recipe.items())], 2),
            *_tabled("Environment", _environment(status), 2),
        ),
    )


def _curves(status: RunStatus, name: str) -> Part:
    if importlib.util.find_spec("matplotlib") is None:
        return Text(_NO_DRAWING)
    return Drawing(as_svg(drawn(status.curves, name)))


def _subnets(last: Mapping[str, float]) -> list[tuple[str, ...]]:
    top1 = [
        (key.removesuffix("_top1").replace("_", " "), f"{value:.2%}") for key, value in last.items() if "_top1" in key
    ]
    return [("subnet", "top-1"), *top1]


def _skipped(reasons: Sequence[str]) -> list[Part]:
    if not reasons:
        return [Text("None.")]
    counted = list(dict.fromkeys(reasons))
    more = f", the first {_MOST_SKIPPED}" if len(counted) > _MOST_SKIPPED else ""
    where = "of the first process, since the run was started last"
    said = f"{len(counted)} images{more}, {where}; in training others stood in for them."
    return [Text(said), Items(counted[:_MOST_SKIPPED])]


def _environment(status: RunStatus) -> list[tuple[str, ...]]:
    run = status.run
    if run is None:
        return [("", "")]
    rows: list[tuple[str, object]] = [
        ("data", run.data),
        (
            "images trained on, held out, of validation",
            f"{run.train_images}, {run.held_out_images}, {run.validation_images}",
        ),
        ("classes", run.classes),
        ("seed", run.seed),
        ("processes", run.processes),
        ("device", run.device),
        ("image workers a process", run.workers),
        *((f"machine: {key}", _plain(value)) for key, value in run.machine.to_json().items()),
        *((f"version of {key}", value) for key, value in run.libraries.items()),
    ]
    return [("what", "value"), *((key, str(value)) for key, value in rows)]


def _plain(value: object) -> object:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _tabled(title: str, rows: Sequence[Sequence[str]], text_columns: int = 1) -> list[Section]:
    """Return a section with a table whose first row is its head; none where there is only that."""
    return [Section(title, (Table("", rows[0], rows[1:], text_columns),))] if len(rows) > 1 else []
