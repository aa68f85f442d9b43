"""Plots of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.measuring.drawing import COLOURS, new_figure, plain, write_figure
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.report import Report
from resnas_deploy.measuring.shares import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_report(report: Report, path: Path, *, replace: bool = True) -> None:
    """Latency against batch with bands from p50 to p99, throughput, and the share of time by kind of block."""
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
    """Measurements that make one line, ordered by batch, under a name that tells it from the others."""
    found: dict[str, list[Measurement]] = {}
    for item in measurements:
        if item.samples_s:
            c = item.configuration
            streams = f", {c.streams} streams" if c.streams > 1 else ""
            found.setdefault(plain(f"{c.label}, {c.runner}, {c.latency}{streams}"), []).append(item)
    return {name: sorted(items, key=lambda item: item.configuration.batch) for name, items in found.items()}


def _stacked(axis: Axes, bars: Sequence[Measurement]) -> None:
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
