"""The search's report: accuracy against cost, and the finalists with what was predicted and what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from resnas_deploy.measuring.plots import COLOURS, new_figure, write_figure
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import LATENCY, CostName
from resnas_deploy.searching.finalists import Finalist
from resnas_deploy.searching.pareto import front
from resnas_deploy.searching.tables import finalist_table

FRONT, PAGE = "front.png", "report.html"


def write_report(
    candidates: Sequence[Candidate], finalists: Sequence[Finalist], costs: Sequence[CostName], folder: Path
) -> None:
    """Draw `front.png` and write `report.html`."""
    whole = [candidate for candidate in candidates if not candidate.score.stopped]
    cost = costs[0]
    figure, axis = new_figure(1)
    axis.plot(
        [item.costs[0] for item in whole],
        [100 * item.score.accuracy for item in whole],
        ".",
        color=COLOURS[5],
        markersize=4,
        label="scored",
    )
    line = front(candidates)
    axis.step(
        [item.costs[0] for item in line],
        [100 * item.score.accuracy for item in line],
        where="post",
        color=COLOURS[0],
        label="front",
    )
    if cost.name == LATENCY:
        axis.plot(
            [item.measured_ms for item in finalists],
            [100 * item.candidate.score.accuracy for item in finalists],
            "s",
            color=COLOURS[1],
            label="finalists, measured",
        )
    kind = "predicted latency" if cost.name == LATENCY else cost.name
    axis.set(title="Accuracy with the supernet's weights", xlabel=f"{kind}, {cost.unit}", ylabel="top-1, %")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="small")
    table = finalist_table(finalists, costs)
    for name in (FRONT, PAGE):
        write_figure(figure, folder / name, "Search", table)
