"""The report of a run that has ended: one page of HTML that needs no other file and no network.

Its texts are escaped: names of classes, folders and files may hold anything.
"""

from __future__ import annotations

import html
import importlib.util
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.measuring.plots import as_svg
from resnas_deploy.training.curves import by_epoch, drawn
from resnas_deploy.training.evaluate import ValidationAccuracy
from resnas_deploy.training.status import RunStatus, status_of

FILE = "report.html"
_MOST_SKIPPED = 100  # of the images that could not be read, by name
_STYLE = (
    "body{font:14px sans-serif;margin:2em;max-width:80em}svg{max-width:100%;height:auto}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}"
    "td:first-child,th:first-child{text-align:left}"
)
_NO_DRAWING = "The curves are not drawn: the package matplotlib is not installed (pip install matplotlib)."


def write_report(folder: Path, accuracy: ValidationAccuracy, skipped: Sequence[str]) -> None:
    """Write `report.html` into the folder of a run. Weights are there already: what goes wrong here is a note."""
    try:
        text = page(status_of(folder), accuracy, skipped)
        with atomic_file(folder / FILE) as partial:
            partial.write_text(text, encoding="utf-8")
    except (BadInput, StorageError) as error:
        logging.getLogger(__name__).warning("the report of the run is not written: %s", error)


def page(status: RunStatus, accuracy: ValidationAccuracy, skipped: Sequence[str]) -> str:
    """Return the page: what was trained, how good it is, its curves, and what it was trained with."""
    name = Path(status.folder).resolve().name
    run = status.run
    what = f"{run.what}, on {run.data}" if run else "a training run"
    parts = [
        f"<h1>{_text(name)}</h1>",
        _paragraph(f"{what}: {status.epoch} epochs. {accuracy}."),
        *_section("Curves", _curves(status, name)),
        *_section("Subnets at the end", _table(_subnets(status.last))),
        *_section("Epochs", _table(by_epoch(status.curves))),
        *_section("Images that could not be read", _skipped((*skipped, *accuracy.unreadable))),
        *_section("Checkpoints", _table([("file",), *((path,) for path in status.kept)])),
        *_section("Recipe", _table([("key", "value"), *((key, str(value)) for key, value in status.recipe.items())])),
        *_section("Environment", _table(_environment(status))),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{_text(name)}</title>\n'
        f"<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _curves(status: RunStatus, name: str) -> str:
    if importlib.util.find_spec("matplotlib") is None:
        return _paragraph(_NO_DRAWING)
    return as_svg(drawn(status.curves, name))


def _subnets(last: Mapping[str, float]) -> list[tuple[str, ...]]:
    top1 = [
        (key.removesuffix("_top1").replace("_", " "), f"{value:.2%}") for key, value in last.items() if "_top1" in key
    ]
    return [("subnet", "top-1"), *top1]


def _skipped(reasons: Sequence[str]) -> str:
    if not reasons:
        return _paragraph("None.")
    counted = dict.fromkeys(reasons)
    more = f", the first {_MOST_SKIPPED}" if len(counted) > _MOST_SKIPPED else ""
    items = "".join(f"<li>{_text(reason)}</li>" for reason in list(counted)[:_MOST_SKIPPED])
    where = "of the first process, since the run was started last"
    return (
        _paragraph(f"{len(counted)} images{more}, {where}; in training others stood in for them.") + f"<ul>{items}</ul>"
    )


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


def _section(title: str, body: str) -> list[str]:
    return [f"<h2>{_text(title)}</h2>", body] if body else []


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose first row is its head; nothing where there is only that."""
    if len(rows) < 2:
        return ""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + "\n".join([row(rows[0], "th"), *(row(cells, "td") for cells in rows[1:])]) + "</table>"


def _paragraph(text: str) -> str:
    return f"<p>{_text(text)}</p>"


def _text(text: str) -> str:
    return html.escape("".join(c if c.isprintable() or c == "\n" else "?" for c in text))
