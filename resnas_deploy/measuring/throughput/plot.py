"""Throughput against latency: every setting that was tried a point, and the front of those that none beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnas_deploy.files.outputs import write_text
from resnas_deploy.measuring.plots import COLOURS, is_page, new_figure, plain, write_figure
from resnas_deploy.measuring.report import Report
from resnas_deploy.measuring.throughput.found import ThroughputSearch, Tried
from resnas_deploy.pages.page import Page, Part, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table

TITLE = "Throughput against latency"
_X, _Y = "ms of a batch, p50", "images/s"
_HEAD = ("what", "runner", "setting", "images/s", "p50 ms")


def plot_throughput(report: Report, path: Path, *, replace: bool = True) -> None:
    """Draw what the searches of a report have tried, as an image or a page."""
    if is_page(path):
        write_text(path, throughput_page(report).html(), replace=replace)
        return
    figure, axis = new_figure(1)
    for number, search in enumerate(report.throughput or ()):
        colour, ran = COLOURS[number % len(COLOURS)], _ran(search)
        name = plain(_name(search))
        axis.plot([each.batch_p50_ms for each in ran], [each.images_per_second for each in ran], "o", color=colour)
        front = front_of(ran)
        x, y = [each.batch_p50_ms for each in front], [each.images_per_second for each in front]
        axis.plot(x, y, "-", color=colour, label=name, drawstyle="steps-post")
        if best := search.best:
            label = plain(f"best: {best.setting}")
            axis.plot([best.batch_p50_ms], [best.images_per_second.value], "s", color=colour, label=label)
    axis.set(title=TITLE, xlabel=_X, ylabel=_Y, xscale="log", ylim=(0, None))
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend(fontsize="small")
    figure.suptitle(plain(report.machine.described), fontsize="small")
    write_figure(figure, path, TITLE, [_HEAD, *_rows(report)], replace=replace)


def throughput_page(report: Report) -> Page:
    """Return them as a page whose chart answers to the pointer and the keyboard."""
    series: list[Series] = []
    for number, search in enumerate(report.throughput or ()):
        colour, ran = number % len(COLOURS), _ran(search)
        if not ran:
            continue
        series.append(_series(_name(search), ran, colour))
        series.append(_series(f"{_name(search)}, front", front_of(ran), colour, joined=True))
        if best := search.best:
            tip = f"{best.setting}\n{best.images_per_second.value:.1f} images/s, p50 {best.batch_p50_ms:.1f} ms"
            rate = best.images_per_second
            series.append(
                Series(
                    f"{_name(search)}, best",
                    x=[best.batch_p50_ms],
                    y=[rate.value],
                    colour=colour,
                    marker="square",
                    y_low=[rate.low],
                    y_high=[rate.high],
                    tips=[tip],
                )
            )
    parts: list[Part] = [Text(report.machine.described), *map(Text, report.notes())]
    if series:
        parts.append(Plot(Axis(_X, log=True), Axis(_Y, zero=True), series).chart(TITLE))
    return Page(TITLE, (*parts, Table("", _HEAD, _rows(report))))


def front_of(tried: Sequence[Tried]) -> list[Tried]:
    """Return those that are faster than all of no more latency, in rising order of both."""
    front: list[Tried] = []
    for each in sorted(tried, key=lambda each: (each.batch_p50_ms or 0.0, -(each.images_per_second or 0.0))):
        if not front or (each.images_per_second or 0.0) > (front[-1].images_per_second or 0.0):
            front.append(each)
    return front


def _series(name: str, tried: Sequence[Tried], colour: int, *, joined: bool = False) -> Series:
    return Series(
        name,
        x=[each.batch_p50_ms or 0.0 for each in tried],
        y=[each.images_per_second or 0.0 for each in tried],
        form="step" if joined else "points",
        colour=colour,
        marker="" if joined else "circle",
        tips=[
            f"{each.setting}\n{each.images_per_second:.1f} images/s, p50 {each.batch_p50_ms:.1f} ms" for each in tried
        ],
    )


def _ran(search: ThroughputSearch) -> list[Tried]:
    return [each for each in search.tried if each.images_per_second and each.batch_p50_ms]


def _name(search: ThroughputSearch) -> str:
    return f"{search.label}, {search.runner}"


def _rows(report: Report) -> list[tuple[str, ...]]:
    return [
        (
            search.label,
            search.runner,
            str(each.setting),
            each.failure or f"{each.images_per_second or 0:.1f}",
            "" if each.batch_p50_ms is None else f"{each.batch_p50_ms:.1f}",
        )
        for search in report.throughput or ()
        for each in search.tried
    ]
