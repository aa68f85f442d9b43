"""The plot of a report: latency and throughput by batch, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.files.outputs import write_text
from resnas_deploy.measuring.extras import KINDS
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.plots import COLOURS, is_page, new_figure, plain, write_figure
from resnas_deploy.measuring.report import Report
from resnas_deploy.pages.bars import SharesChart
from resnas_deploy.pages.page import Beside, Page, Part, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLE = "Latency and throughput"


def plot_report(report: Report, path: Path, *, replace: bool = True) -> None:
    """Draw latency against batch with bands from p50 to p99, throughput, and the share of time by kind of block."""
    if is_page(path):
        write_text(path, page(report).html(), replace=replace)
    else:
        _draw(report, path, replace=replace)


def page(report: Report) -> Page:
    """Return the report as a page whose charts answer to the pointer and the keyboard."""
    head, *rows = _table(report.measurements)
    parts: list[Part] = [Text(report.machine.described), *map(Text, report.notes())]
    if shown := charts(report.measurements):
        parts.append(shown)
    if bars := [item for item in report.measurements if item.shares]:
        parts.append(SharesChart("Where the time goes", [(_bar_name(item), item.shares or {}) for item in bars]))
    return Page(_TITLE, (*parts, Table("", head, rows)))


def charts(measurements: Sequence[Measurement]) -> Beside | None:
    """Return latency and throughput by batch, beside each other; None where nothing was timed."""
    lines = _lines(measurements)
    if not lines:
        return None
    return Beside((_latency(lines).chart("Latency, p50 with a band to p99"), _throughput(lines).chart("Throughput")))


def _latency(lines: dict[str, list[Measurement]]) -> Plot:
    shown = [
        Series(
            name,
            x=[item.configuration.batch for item in items],
            y=(median := [item.percentile(50) for item in items]),
            form="line",
            colour=number % len(COLOURS),
            y_low=median,
            y_high=[item.percentile(99) for item in items],
            band=True,
            tips=[_tip(name, item) for item in items],
        )
        for number, (name, items) in enumerate(lines.items())
        if items[0].configuration.streams == 1
    ]
    return Plot(_batches(lines), Axis("ms", zero=True), shown)


def _throughput(lines: dict[str, list[Measurement]]) -> Plot:
    shown = [
        Series(
            name,
            x=[item.configuration.batch for item in items],
            y=[item.throughput for item in items],
            form="line",
            colour=number % len(COLOURS),
            tips=[_tip(name, item) for item in items],
        )
        for number, (name, items) in enumerate(lines.items())
    ]
    return Plot(_batches(lines), Axis("images/s", zero=True), shown)


def _batches(lines: dict[str, list[Measurement]]) -> Axis:
    sizes = sorted({item.configuration.batch for items in lines.values() for item in items})
    return Axis("batch", log=True, ticks=sizes)


def _tip(name: str, item: Measurement) -> str:
    times = ", ".join(f"p{share} {item.percentile(share):.2f}" for share in (50, 90, 99))
    latency = [f"{times} ms"] if item.configuration.streams == 1 else []
    return "\n".join((name, f"batch {item.configuration.batch}", *latency, f"{item.throughput:.1f} images/s"))


def _bar_name(item: Measurement) -> str:
    c = item.configuration
    return f"{c.with_engine}, {c.label}, batch {c.batch}"


def _draw(report: Report, path: Path, *, replace: bool) -> None:
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
    figure.suptitle(plain(report.machine.described), fontsize="small")
    write_figure(figure, path, _TITLE, _table(report.measurements), replace=replace)


def _lines(measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    """Return the measurements of each line, ordered by batch, under a name that tells it from the others."""
    found: dict[str, list[Measurement]] = {}
    for item in measurements:
        if item.samples_s:
            c = item.configuration
            streams = f", {c.streams} streams" if c.streams > 1 else ""
            found.setdefault(plain(f"{c.label}, {c.with_engine}, {c.latency}{streams}"), []).append(item)
    return {name: sorted(items, key=lambda item: item.configuration.batch) for name, items in found.items()}


def _stacked(axis: Axes, bars: Sequence[Measurement]) -> None:
    found = [bar.configuration for bar in bars]
    names = [plain(f"{c.with_engine}\n{c.label}\nbatch {c.batch}") for c in found]
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
