"""The search's report: accuracy against cost, the finalists as predicted and as measured, and how the search went."""

from __future__ import annotations

from pathlib import Path

from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.measuring.plots import COLOURS, new_figure, write_figure
from resnas_deploy.pages.page import Chart, Folded, Page, Part, Section, Text
from resnas_deploy.pages.table import Table
from resnas_deploy.searching.costs import LATENCY
from resnas_deploy.searching.front_data import front_data
from resnas_deploy.searching.pareto import front
from resnas_deploy.searching.picture import Picture
from resnas_deploy.searching.report_sections import correlations, iterations
from resnas_deploy.searching.reported import ReportedSearch, cost_label
from resnas_deploy.searching.tables import finalist_table

FRONT, PAGE = "front.png", "report.html"


def write_report(search: ReportedSearch, folder: Path) -> None:
    """Write `report.html` and draw `front.png`. Raise `StorageError` where they cannot be written."""
    with atomic_file(folder / PAGE) as partial:
        partial.write_text(page(search).html(), encoding="utf-8", newline="\n")
    draw_front(search, folder / FRONT)


def page(search: ReportedSearch) -> Page:
    """Return the page."""
    head, *rows = finalist_table(search.finalists, search.costs)
    return Page(
        f"Search of the space {search.searched.space.name}",
        (
            *_summary(search),
            Chart("search", "Accuracy against cost", front_data(search)),
            Table("Finalists", head, rows),
            Section(f"The {'winner' if search.chosen else 'best as predicted'}, block by block", _pictures(search)),
            Section("What goes with accuracy and with cost", correlations(search)),
            Section("How the search went", iterations(search.candidates)),
        ),
    )


def _summary(search: ReportedSearch) -> list[Part]:
    """Say what was looked for and what was found."""
    searched = search.searched
    stopped = sum(candidate.score.stopped for candidate in search.candidates)
    early = f", {stopped} of them stopped early" if stopped else ""
    found: list[Part] = [
        Text(
            f"Looked for {searched.asked or 'the whole front of accuracy against cost'}: "
            f"{len(search.candidates)} candidates{early}, on {searched.held_out} images held out of {searched.data}; "
            f"{sum(candidate.score.seen for candidate in search.candidates):,} images scored in all."
        ),
        Text(_best(search)),
    ]
    measured = [item for item in search.finalists if item.measurement]
    if search.limits and measured:
        kept = sum(item.keeps_limits for item in measured)
        wanted = " and ".join(map(str, search.limits))
        found.append(Text(f"{kept} of {len(measured)} finalists that were measured kept {wanted}."))
    return found


def _best(search: ReportedSearch) -> str:
    best = search.shown
    figures = [f"top-1 {best.candidate.score.accuracy:.2%} with the supernet's weights"]
    if best.exported:
        figures.append(f"{best.exported.top1:.2%} of the artifact itself")
    costs = zip(search.costs, best.candidate.costs, strict=True)
    figures += [f"{cost_label(cost)} {cost.text(value)}" for cost, value in costs]
    if best.measured_ms is not None:
        figures.append(f"measured latency {best.measured_ms:.3g} ms")
    who = "The winner is" if search.chosen else "There is no winner yet; the best as predicted is"
    return f"{who} {best.candidate.subnet.arch.fingerprint}: {', '.join(figures)}."


def _pictures(search: ReportedSearch) -> list[Part]:
    space, shown = search.searched.space, search.shown
    widest = space.widest()
    several = any(len(mixers) > 1 for mixers in space.mixers_by_cost)
    colours = " Attention in windows and attention to pooled tokens have colours of their own." if several else ""
    return [
        Text(
            "Each column is a block: attention (heads) upwards, MLP (hidden channels) downwards, as shares of the "
            f"widest's, which is the dashed frame. An empty frame is a block that was dropped.{colours}"
        ),
        Picture(shown.candidate.subnet, widest),
        *(
            Folded(
                f"finalist {number}: {item.candidate.subnet.arch.fingerprint}",
                (Picture(item.candidate.subnet, widest),),
            )
            for number, item in enumerate(search.finalists, start=1)
            if item is not shown
        ),
    ]


def draw_front(search: ReportedSearch, path: Path) -> None:
    """Draw the front of the first cost as PNG."""
    cost = search.costs[0]
    whole = [candidate for candidate in search.candidates if not candidate.score.stopped]
    figure, axis = new_figure(1)
    axis.plot(
        [item.costs[0] for item in whole],
        [100 * item.score.accuracy for item in whole],
        ".",
        color=COLOURS[5],
        markersize=4,
        label="scored",
    )
    line = front(search.candidates)
    axis.step(
        [item.costs[0] for item in line],
        [100 * item.score.accuracy for item in line],
        where="post",
        color=COLOURS[0],
        label="front",
    )
    measured = [item for item in search.finalists if item.measured_ms is not None]
    if cost.name == LATENCY and measured:
        axis.plot(
            [item.measured_ms for item in measured],
            [100 * item.candidate.score.accuracy for item in measured],
            "s",
            color=COLOURS[1],
            label="finalists, measured",
        )
    axis.set(title="Accuracy with the supernet's weights", xlabel=f"{cost_label(cost)}, {cost.unit}", ylabel="top-1, %")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
    write_figure(figure, path, "Search", [])
