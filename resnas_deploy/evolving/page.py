"""The page of an evolution: what each choice did, what moved and why, and what subnets were like before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnas_deploy.evolving.dimensions import Values
from resnas_deploy.evolving.effects import CONFIDENCE, Estimate
from resnas_deploy.evolving.moves import Move
from resnas_deploy.evolving.result import CostSpread, Evolution, EvolvedRound, Spread
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.pages.page import Folded, Page, Part, Section, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.units import several
from resnas_deploy.weights.space_text import space_text

PAGE = "report.html"
_METHOD = (
    "A step is from one value of a range to the next; of what blocks choose each for itself it is one of all blocks of "
    "the stage; of a mixer, that all of them have it, and none another. Its effect on top-1 is "
    "fitted to all choices together, over the subnets in the mean, and over the better ones; its gain is the mean of "
    "both less what the cost of the step buys elsewhere, as the subnets spend it. "
    f"All intervals of a table together hold at {CONFIDENCE:.0%}. A range moves where its gain's interval is on one "
    "side of 0. After S3 (Chen et al., NeurIPS 2021, arXiv 2111.14725)."
)
HEAD = (
    "choice",
    "values",
    "now",
    "why",
    "step",
    "mean, points",
    "better ones, points",
    "cost of a step",
    "gain, points",
)
_TEXTS = 4  # of these columns


@dataclass(frozen=True)
class ReportedRound:
    """A round, and the subnets that were scored in it."""

    round: EvolvedRound
    candidates: Sequence[Candidate]


def write_page(evolution: Evolution, rounds: Sequence[ReportedRound], folder: Path) -> None:
    """Write `report.html`. Raise `StorageError` where it cannot be written."""
    with atomic_file(folder / PAGE) as partial:
        partial.write_text(page(evolution, rounds).html(), encoding="utf-8", newline="\n")


def page(evolution: Evolution, rounds: Sequence[ReportedRound]) -> Page:
    """Return the page."""
    return Page(
        f"Evolution of the space {evolution.rounds[0].space.name}",
        (
            *map(Text, summary(evolution)),
            _distributions(rounds),
            _against_cost(rounds),
            Table("The subnets that were scored in each round", *_spreads(evolution)),
            Text(_METHOD),
            *(Section(_title(item.round), tuple(_round(item.round))) for item in rounds),
        ),
    )


def summary(evolution: Evolution) -> list[str]:
    """Say what was asked for and what came of it."""
    first, last = evolution.rounds[0], evolution.rounds[-1]
    moved = sum(move.moved for each in evolution.rounds for move in each.moves)
    end = "no range moved any more" if evolution.settled else "the rounds were used up"
    came = (
        f"{several(moved, 'range')} moved in {several(len(evolution.rounds) - 1, 'round')}, until {end}; the supernet "
        f"is trained on for {several(evolution.epochs, 'epoch')} after each."
        if len(evolution.rounds) > 1
        else "No range moved, and nothing was trained: the page says why; more subnets narrow the intervals."
    )
    found = [
        f"Limits: {evolution.asked}. {first.subnets} random subnets within them scored in each round, on "
        f"{evolution.held_out} images of {evolution.data} that training does not see.",
        came,
        f"Top-1 of the subnets, median: {first.accuracy.median:.2%} at first, {last.accuracy.median:.2%} at the end; "
        f"best: {first.accuracy.most:.2%}, then {last.accuracy.most:.2%}.",
    ]
    if len(evolution.rounds) > 1:
        found.append(
            "The supernet of the later rounds has seen more images: what the moves alone gave is not told by this."
        )
    return found


def effect_rows(moves: Sequence[Move]) -> list[tuple[str, ...]]:
    """Return a row for each choice, as `HEAD` names its cells."""
    return [
        (
            str(move.effect.dimension),
            _listed(move.before),
            _listed(move.after) if move.moved else "the same",
            move.why,
            f"{move.effect.step:g}",
            _points(move.effect.expectation),
            _points(move.effect.top),
            f"{move.effect.cost:.3g}",
            _points(move.effect.gain),
        )
        for move in moves
    ]


def _round(found: EvolvedRound) -> Iterator[Part]:
    cost = found.costs[0]
    yield Table(f"What a step up does; costs are {cost.name} in {cost.unit}", HEAD, effect_rows(found.moves), _TEXTS)
    yield Folded("The space", (Table("", ("",), [(line,) for line in space_text(found.space).splitlines()]),))


def _title(found: EvolvedRound) -> str:
    moved = sum(move.moved for move in found.moves)
    what = f"{several(moved, 'range')} moved" if moved else "nothing moved"
    return f"Round {found.number}: {what}"


def _spreads(evolution: Evolution) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    head = ("round", "of", "least", "10%", "median", "90%", "most")
    rows = []
    for found in evolution.rounds:
        rows.append((str(found.number), "top-1, %", *_five(found.accuracy, 100)))
        rows += [(str(found.number), f"{cost.name}, {cost.unit}", *_five(cost.of_subnets, 1)) for cost in found.costs]
    return head, rows


def _five(spread: Spread, unit: float) -> tuple[str, ...]:
    return tuple(f"{unit * value:.4g}" for value in (spread.least, spread.p10, spread.median, spread.p90, spread.most))


def _distributions(rounds: Sequence[ReportedRound]) -> Part:
    """Draw how the top-1 of the subnets is distributed in each round."""
    series = []
    for place, item in enumerate(rounds):
        ordered = sorted(100 * candidate.score.accuracy for candidate in item.candidates)
        shares = (100 * (np.arange(len(ordered)) + 1) / len(ordered)).tolist()
        series.append(Series(f"round {item.round.number}", ordered, shares, "step", place % 8, ""))
    chart = Plot(Axis("top-1 with the supernet's weights, %"), Axis("subnets that have at most that, %"), series)
    return chart.chart("Accuracy of random subnets within the limits")


def _against_cost(rounds: Sequence[ReportedRound]) -> Part:
    cost: CostSpread = rounds[0].round.costs[0]
    series = [
        Series(
            f"round {item.round.number}",
            [candidate.costs[0] for candidate in item.candidates],
            [100 * candidate.score.accuracy for candidate in item.candidates],
            colour=place % 8,
        )
        for place, item in enumerate(rounds)
    ]
    return Plot(Axis(f"{cost.name}, {cost.unit}"), Axis("top-1, %"), series).chart("Accuracy against cost")


def _points(estimate: Estimate) -> str:
    """Return an accuracy in percentage points, with its interval."""
    return f"{100 * estimate.value:+.2f} ({100 * estimate.low:+.2f} to {100 * estimate.high:+.2f})"


def _listed(found: Values) -> str:
    return " ".join(map(str, found))
