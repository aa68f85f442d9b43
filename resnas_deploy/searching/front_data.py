"""What the page's script draws of a search: its candidates as columns, which stay small for thousands of them."""

from __future__ import annotations

from resnas_deploy.measuring.latency.bounds import percent
from resnas_deploy.pages.escaping import rounded
from resnas_deploy.searching.choices import Encoding
from resnas_deploy.searching.costs import LATENCY
from resnas_deploy.searching.finalists import Finalist
from resnas_deploy.searching.reported import ReportedSearch, cost_label


def front_data(search: ReportedSearch) -> dict[str, object]:
    """Return the candidates, their costs with intervals, and the finalists as predicted and as measured."""
    candidates = search.candidates
    places = {candidate.subnet: number for number, candidate in enumerate(candidates)}
    encoded = Encoding.of([candidate.subnet for candidate in candidates])
    scores = [candidate.score for candidate in candidates]
    # What is predicted is that percentile of the runs that is limited.
    percentile = next((limit.figure for limit in search.limits if limit.figure.startswith("p")), "p50")
    return {
        "heldOut": search.searched.held_out,
        "correct": [score.correct for score in scores],
        # Of most it is all: only what was stopped is told apart.
        "seen": {number: score.seen for number, score in enumerate(scores) if score.stopped},
        "iteration": [candidate.iteration for candidate in candidates],
        "costs": [_cost(number, search) for number in range(len(search.costs))],
        "choices": encoded.to_json(),
        "archs": list(encoded.texts),
        "finalists": [
            _finalist(
                item, places[item.candidate.subnet], f"{number}{', the winner' * (item is search.chosen)}", percentile
            )
            for number, item in enumerate(search.finalists, start=1)
        ],
    }


def _cost(number: int, search: ReportedSearch) -> dict[str, object]:
    cost = search.costs[number]
    return {
        "label": cost_label(cost),
        "unit": cost.unit,
        "values": [rounded(candidate.costs[number]) for candidate in search.candidates],
        "interval": None if cost.low == cost.high else [rounded(cost.low), rounded(cost.high)],
        "limit": search.searched.limits.get(cost.name),
        "measurable": cost.name == LATENCY,
    }


def _finalist(item: Finalist, candidate: int, name: str, percentile: str) -> dict[str, object]:
    own = [] if item.exported is None else [f"top-1 of the artifact itself {item.exported.top1:.2%}"]
    measurement = item.measurement
    found: dict[str, object] = {"candidate": candidate, "name": name, "ms": None}
    if measurement is None or not measurement.samples_s:
        measured = item.failure
    else:
        ms, low, high = (measurement.percentile(share) for share in (percent(percentile), 10, 90))
        measured = f"measured: {percentile} {ms:.4g} ms (four in five runs: {low:.4g} to {high:.4g})"
        found |= {"ms": rounded(ms), "low": rounded(low), "high": rounded(high)}
    beyond = ["beyond the limit"] * (measurement is not None and not item.keeps_limits)
    told = [item.told] if item.told else []
    return found | {"tips": [item.candidate.subnet.arch.fingerprint, *own, measured, *told, *beyond]}
