"""What the page's script draws of a search: its candidates as columns, which stay small for thousands of them."""

from __future__ import annotations

from resnas_deploy.pages.escaping import rounded
from resnas_deploy.searching.choices import Encoding
from resnas_deploy.searching.costs import LATENCY, CostKind
from resnas_deploy.searching.reported import ReportedFinalist, ReportedSearch


def front_data(search: ReportedSearch) -> dict[str, object]:
    """Return the candidates, their costs with intervals, and the finalists as predicted and as measured."""
    candidates = search.candidates
    places = {candidate.subnet: number for number, candidate in enumerate(candidates)}
    encoded = Encoding.of([candidate.subnet for candidate in candidates])
    scores = [candidate.score for candidate in candidates]
    return {
        "heldOut": search.held_out,
        "correct": [score.correct for score in scores],
        # Of most it is all: only what was stopped is told apart.
        "seen": {number: score.seen for number, score in enumerate(scores) if score.stopped},
        "iteration": [candidate.iteration for candidate in candidates],
        "costs": [_cost(number, search) for number in range(len(search.costs))],
        "choices": encoded.to_json(),
        "archs": list(encoded.texts),
        "finalists": [
            _finalist(item, places[item.candidate.subnet], f"{number + 1}{', the winner' * (number == search.winner)}")
            for number, item in enumerate(search.finalists)
        ],
    }


def cost_label(cost: CostKind) -> str:
    """Return what people call a cost."""
    return f"predicted {cost.name}" if cost.name == LATENCY else cost.name


def _cost(number: int, search: ReportedSearch) -> dict[str, object]:
    cost = search.costs[number]
    found: dict[str, object] = {
        "label": cost_label(cost),
        "unit": cost.unit,
        "values": [rounded(candidate.costs[number]) for candidate in search.candidates],
        "limit": search.limits.get(cost.name),
        "measurable": cost.name == LATENCY,
    }
    if cost.interval and search.candidates:
        low, high = cost.interval([candidate.subnet.arch for candidate in search.candidates])
        found |= {"low": [rounded(value) for value in low], "high": [rounded(value) for value in high]}
    return found


def _finalist(item: ReportedFinalist, candidate: int, name: str) -> dict[str, object]:
    ms, runs = item.measured_ms, item.four_in_five_ms
    measured = f"measured: {item.measured}"
    if runs:
        measured += f" ms (four in five runs: {runs[0]:.4g} to {runs[1]:.4g})"
    own = [] if item.accuracy is None else [f"top-1 of the artifact itself {item.accuracy:.2%}"]
    return {
        "candidate": candidate,
        "name": name,
        "ms": None if ms is None else rounded(ms),
        **({"low": rounded(runs[0]), "high": rounded(runs[1])} if runs else {}),
        "tips": [item.fingerprint, *own, measured],
    }
