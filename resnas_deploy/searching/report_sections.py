"""Sections of the search's report: how each choice goes with accuracy and with cost, and what each iteration found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from resnas_deploy.pages.bars import CorrelationTable
from resnas_deploy.pages.page import Folded, Part, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.choices import Values, in_short, one_by_one, rank_correlation
from resnas_deploy.searching.costs import CostKind
from resnas_deploy.searching.reported import ReportedSearch, cost_label

RANDOM = 500  # subnets of the space, for how each choice goes with cost: no image is needed for them
_LEAST = 3  # candidates


def correlations(search: ReportedSearch) -> list[Part]:
    """Show how each choice goes with accuracy among the candidates, and with cost among random subnets."""
    whole = [candidate for candidate in search.candidates if not candidate.score.stopped]
    if len(whole) < _LEAST:
        return [Text(f"Fewer than {_LEAST} candidates were scored to the end: too few to say.")]
    accuracy = np.array([candidate.score.accuracy for candidate in whole])
    rng = np.random.default_rng(0)
    drawn = [search.searched.space.sample(rng) for _ in range(RANDOM)]
    archs = [subnet.arch for subnet in drawn]
    # What cannot be counted here is known of the candidates alone.
    counted = [np.asarray(cost.of(archs)) if isinstance(cost, CostKind) else None for cost in search.costs]
    known = [np.array([candidate.costs[number] for candidate in whole]) for number in range(len(search.costs))]
    subnets = [candidate.subnet for candidate in whole]

    def table(title: str, choices: Mapping[str, Values]) -> CorrelationTable:
        rows = []
        for name, values in choices.items():
            of_scored, of_random = values[: len(subnets)], values[len(subnets) :]
            found = [rank_correlation(of_scored, accuracy)]
            for of_drawn, of_known in zip(counted, known, strict=True):
                own = (of_scored, of_known) if of_drawn is None else (of_random, of_drawn)
                found.append(rank_correlation(*own))
            if any(value is not None for value in found):
                rows.append((name, found))
        return CorrelationTable(title, ("choice", "accuracy", *map(cost_label, search.costs)), rows)

    noise = 1.96 / np.sqrt(len(whole) - 1)
    missing = [cost_label(cost) for cost, values in zip(search.costs, counted, strict=True) if values is None]
    but = f", but with {' and '.join(missing)} among the candidates too" if missing else ""
    return [
        Text(
            f"Rank correlations (Spearman), from -1 to 1: with accuracy among the {len(whole)} candidates that were "
            f"scored to the end, where less than {noise:.2f} either way is noise; with cost among {RANDOM} random "
            f"subnets of the space{but}. Where a limit binds, all candidates cost about as much: what goes with "
            "accuracy there says where cost is spent best, not that more is better."
        ),
        table("Stage by stage", in_short([*subnets, *drawn])),
        Folded("Block by block", (table("Block by block", one_by_one([*subnets, *drawn])),)),
    ]


def iterations(candidates: Sequence[Candidate]) -> list[Part]:
    """Show what each iteration found."""
    rows: list[tuple[str, ...]] = []
    at, best, middle, low, high = (list[float]() for _ in range(5))
    tips = []
    for number in sorted({candidate.iteration for candidate in candidates}):
        own = [candidate.score for candidate in candidates if candidate.iteration == number]
        whole = [100 * score.accuracy for score in own if not score.stopped]
        stopped = len(own) - len(whole)
        so_far = max([*best[-1:], *whole], default=None)
        if so_far is None or not whole:  # all of it was hopeless
            rows.append(
                (f"{number + 1}", f"{len(own)}", f"{stopped}", "-", "-", "-" if so_far is None else f"{so_far:.2f}")
            )
            continue
        lower, median, upper = (float(value) for value in np.percentile(whole, (10, 50, 90)))
        for values, value in ((at, number + 1), (best, so_far), (middle, median), (low, lower), (high, upper)):
            values.append(value)
        figures = [f"{value:.2f}" for value in (max(whole), median, so_far)]
        rows.append((f"{number + 1}", f"{len(own)}", f"{stopped}", *figures))
        tips.append(
            f"iteration {number + 1}\n{len(own)} scored, {stopped} of them stopped early\n"
            f"best {figures[0]}%, median {figures[1]}%, best so far {figures[2]}%"
        )
    of_each = "of each iteration: the median, and 10% to 90%"
    chart = Plot(
        Axis("iteration", ticks=at),
        Axis("top-1, %"),
        (
            Series(of_each, at, middle, "line", 5, y_low=low, y_high=high, band=True, tips=tips),
            Series("best so far", at, best, "step", 1, "square", tips=tips),
        ),
    )
    head = ("iteration", "scored", "stopped early", "best, %", "median, %", "best so far, %")
    return [
        chart.chart("Accuracy by iteration, of those scored to the end"),
        Folded("Figures", (Table("", head, rows),)),
    ]
