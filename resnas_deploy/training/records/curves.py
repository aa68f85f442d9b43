"""A run's figures over its epochs: as lines of a terminal, and drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.measuring.plots import COLOURS, new_figure, plain, write_figure
from resnas_deploy.training.records.status import RUNNING, RunStatus
from resnas_deploy.training.subnet_accuracy import LEAST, MEAN, NARROWEST, WIDEST
from resnas_deploy.units import duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 32  # characters of a course
_IN_SHORT = ("epochs", "batch", "group", "learning_rate", "precision", "sampling", "ema")  # keys of the recipe
COLUMNS = ("figure", "course", "first", "least", "most", "last")

Curves = Sequence[Mapping[str, float]]


def _share(value: float) -> str:
    return f"{value:.2%}"


# The figures in the order in which they are shown: their names in metrics.jsonl, here, and how they are written.
SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "loss": ("loss", "{:.3f}".format),
    "top1": ("top-1, validation", _share),
    WIDEST: ("top-1, widest subnet", _share),
    NARROWEST: ("top-1, narrowest subnet", _share),
    MEAN: ("top-1, mean of the subnets", _share),
    LEAST: ("top-1, least of the subnets", _share),
    "learning_rate": ("learning rate", "{:.2g}".format),
    "images_per_second": ("images/s", "{:.0f}".format),
    "waiting": ("time spent waiting for images", "{:.0%}".format),
}


def rows(curves: Curves) -> list[tuple[str, ...]]:
    """Return a row for each figure that there is: its course over the epochs, and its values."""
    found = []
    for key, (name, text) in SHOWN.items():
        if values := [line[key] for line in curves if key in line]:
            shown = (values[0], min(values), max(values), values[-1])
            found.append((name, sparkline(values), *map(text, shown)))
    return found


def summary(status: RunStatus, now: float) -> list[str]:
    """Return the lines that say where a run is, and what it is."""
    run, recipe = status.run, status.recipe
    parts = [f"{status.state}{f': {status.problem}' if status.problem else ''}"]
    parts.append(f"epoch {status.epoch}{f' of {status.epochs}' if status.epochs else ''}")
    parts.append(f"step {status.step}{f' of {status.steps}' if status.steps else ''}")
    if status.images_per_second:
        parts.append(f"{status.images_per_second:.0f} images/s")
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} {'left' if status.state == RUNNING else 'still to train'}")
    if status.updated is not None:
        parts.append(f"last figures {duration(max(0.0, now - status.updated))} ago")
    lines = [f"{status.folder}: {', '.join(parts)}"]
    if run:
        where = f"{run.processes} process{'es' if run.processes > 1 else ''} on {run.device}"
        lines.append(f"{run.what}, on {run.data}, seed {run.seed}; {where}")
    if known := [f"{key} {recipe[key]}" for key in _IN_SHORT if key in recipe]:
        lines.append(f"recipe: {', '.join(known)}")
    if status.kept:
        lines.append(f"kept: {', '.join(status.kept)}")
    return lines


def by_epoch(curves: Curves) -> list[tuple[str, ...]]:
    """Return a head, and a row for each epoch."""
    keys = [key for key in SHOWN if any(key in line for line in curves)]
    head = ("epoch", *(SHOWN[key][0] for key in keys))
    cells = [[SHOWN[key][1](line[key]) if key in line else "" for key in keys] for line in curves]
    return [head, *((f"{line['epoch']:.0f}", *own) for line, own in zip(curves, cells, strict=True))]


def sparkline(values: Sequence[float], width: int = _WIDTH) -> str:
    """Return a bar for each value, or for the mean of a few, from the lowest to the highest of them."""
    count = min(width, len(values))
    edges = [number * len(values) // count for number in range(count + 1)] if count else [0]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]
    low, high = min(means, default=0.0), max(means, default=0.0)
    step = (high - low) / (len(_BARS) - 1)
    return "".join(_BARS[round((value - low) / step) if step > 0 else 0] for value in means)


def drawn(curves: Curves, title: str) -> Figure:
    """Draw the loss, the accuracies, the learning rate and the speed over the epochs."""
    figure, axes = new_figure(4)
    panels = (
        ("Loss", "", ("loss",), 1),
        ("Top-1", "%", ("top1", WIDEST, NARROWEST, MEAN, LEAST), 100),
        ("Learning rate", "", ("learning_rate",), 1),
        ("Speed", "images/s", ("images_per_second",), 1),
    )
    for axis, (name, unit, keys, times) in zip(axes, panels, strict=True):
        for key, colour in zip(keys, COLOURS, strict=False):
            points = [(line["epoch"], times * line[key]) for line in curves if key in line]
            if points:
                label = SHOWN[key][0].removeprefix("top-1, ")
                axis.plot(*zip(*points, strict=True), ".-", markersize=4, color=colour, label=label)
        axis.set(title=name, xlabel="epoch", ylabel=unit)
        axis.grid(alpha=0.3)
        if len(axis.lines) > 1:
            axis.legend(fontsize="small")
    figure.suptitle(plain(title), fontsize="small")
    return figure


def plot_status(status: RunStatus, path: Path, *, replace: bool = True) -> None:
    """Draw a run's curves as PNG, SVG or a page of HTML with the figures of each epoch. Raise `StorageError`."""
    title = f"{status.folder}: {status.state}, epoch {status.epoch} of {status.epochs}"
    write_figure(drawn(status.curves, title), path, title, by_epoch(status.curves), replace=replace)
