"""Plots as PNG, SVG, or a page of HTML that needs no other file: of a report, and what other rooms draw theirs with."""

from __future__ import annotations

import html
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnas_deploy.errors import BadInput, PackageMissing
from resnas_deploy.files.outputs import output_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from resnas_deploy.measuring.measurement import Measurement
    from resnas_deploy.measuring.report import Report

SUFFIXES = (".png", ".svg", ".html")
_DPI = 150
# A palette that people with any colour vision can tell apart (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")


def check_plot(path: Path) -> None:
    """Raise `BadInput` for another suffix, `NotAvailable` without matplotlib: before anything is measured."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"a plot must end in {', '.join(SUFFIXES)}, found {path}")
    if importlib.util.find_spec("matplotlib") is None:
        raise PackageMissing(
            "plots are drawn by the package matplotlib, which is not installed", "pip install matplotlib"
        )


def plain(text: str) -> str:
    """Return a text that matplotlib draws as it is: no formula, nothing that XML forbids, nothing that legends omit."""
    text = "".join(c if c.isprintable() or c == "\n" else "?" for c in text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


@contextmanager
def _quiet_matplotlib() -> Iterator[None]:
    """Keep it from telling at length of a home that cannot be written."""
    logger = logging.getLogger("matplotlib")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def new_figure(panels: int) -> tuple[Figure, Any]:
    """Return a figure with that many axes beside each other."""
    with _quiet_matplotlib():
        from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * panels, 4.5), layout="constrained")
    return figure, figure.subplots(1, panels)


def write_figure(
    figure: Figure, path: Path, title: str, table: Sequence[Sequence[str]], *, replace: bool = True
) -> None:
    """Write it in the form that the suffix names; a page holds the table too, whose first row is its head."""
    suffix = path.suffix.lower()
    content = _drawn(figure, "png" if suffix == ".png" else "svg")
    if suffix == ".html":
        content = _page(title, _element(content), table).encode()
    with output_file(path, replace=replace) as partial:
        partial.write_bytes(content)


def as_svg(figure: Figure) -> str:
    """Return a figure as an element of a page of HTML."""
    return _element(_drawn(figure, "svg"))


def _drawn(figure: Figure, form: str) -> bytes:
    drawn = io.BytesIO()
    with _quiet_matplotlib(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # it draws a box for it
        figure.savefig(drawn, format=form, dpi=_DPI)
    return drawn.getvalue()


def _element(svg: bytes) -> str:
    """Return the element of an SVG file, without what stands before it."""
    text = svg.decode()
    return text[text.index("<svg") :]


def _page(title: str, svg: str, table: Sequence[Sequence[str]]) -> str:
    """Return a page with the drawing and its figures; names come from files and may hold anything."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    rows = "\n".join([row(table[0], "th"), *(row(cells, "td") for cells in table[1:])])
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        "<style>body{font:14px sans-serif;margin:2em}svg{max-width:100%;height:auto}"
        "td,th{padding:.2em .8em;text-align:right}td:first-child,th:first-child{text-align:left}</style>\n"
        f"<h1>{html.escape(title)}</h1>\n{svg}\n<table>{rows}</table>\n</html>\n"
    )


def plot_report(report: Report, path: Path, *, replace: bool = True) -> None:
    """Draw latency against batch with bands from p50 to p99, throughput, and the share of time by kind of block."""
    lines = _lines(report.measurements)
    bars = [item for item in report.measurements if item.shares]
    figure, axes = new_figure(3 if bars else 2)
    latency, throughput = axes[0], axes[1]
    for number, (name, items) in enumerate(lines.items()):
        colour, batches = COLOURS[number % len(COLOURS)], [item.configuration.batch for item in items]
        if items[0].configuration.streams == 1:
            latency.plot(batches, [item.percentile(50) for item in items], "o-", color=colour, label=name)
            low, high = ([item.percentile(p) for item in items] for p in (50, 99))
            latency.fill_between(batches, low, high, color=colour, alpha=0.2, linewidth=0)
        throughput.plot(batches, [item.throughput for item in items], "o-", color=colour, label=name)
    for axis, title, unit in (
        (latency, "Latency, p50 with a band to p99", "ms"),
        (throughput, "Throughput", "images/s"),
    ):
        axis.set(title=title, xlabel="batch", ylabel=unit, ylim=(0, None))
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize="small")
    if bars:
        _stacked(axes[2], bars)
    figure.suptitle(f"{plain(report.machine.cpu)}, {report.machine.cores} cores", fontsize="small")
    write_figure(figure, path, "Latency and throughput", _table(report.measurements), replace=replace)


def _lines(measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Return the measurements of each line, ordered by batch, under a name that tells it from the others."""
    found: dict[str, list[Measurement]] = {}
    for item in measurements:
        if item.samples_s:
            c = item.configuration
            streams = f", {c.streams} streams" if c.streams > 1 else ""
            found.setdefault(plain(f"{c.label}, {c.runner}, {c.latency}{streams}"), []).append(item)
    return {name: sorted(items, key=lambda item: item.configuration.batch) for name, items in found.items()}


def _stacked(axis: Axes, bars: Sequence[Measurement]) -> None:
    from resnas_deploy.measuring.extras import KINDS

    found = [bar.configuration for bar in bars]
    names = [plain(f"{c.runner}\n{c.label}\nbatch {c.batch}") for c in found]
    bottom = [0.0] * len(bars)
    for kind, colour in zip(KINDS, COLOURS, strict=False):
        heights = [100 * bar.shares[kind] for bar in bars if bar.shares]
        axis.bar(range(len(bars)), heights, bottom=bottom, color=colour, label=kind)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axis.set_xticks(range(len(bars)), names, fontsize="x-small")
    axis.set(title="Where the time goes", ylabel="% of the time", ylim=(0, 100))
    axis.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


def _table(measurements: Sequence[Measurement]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("what", "p50 ms", "p90 ms", "p99 ms", "images/s")]
    for item in measurements:
        if item.samples_s:
            figures = (*(f"{item.percentile(p):.2f}" for p in (50, 90, 99)), f"{item.throughput:.1f}")
            rows.append((str(item.configuration), *figures))
        else:
            rows.append((str(item.configuration), item.failure or "", "", "", ""))
    return rows
