"""The front of accuracy against cost, and the order of candidates by it (NSGA-II, Deb et al. 2002)."""

from __future__ import annotations

from collections.abc import Sequence

from resnas_deploy.searching.candidate import Candidate


def front(found: Sequence[Candidate]) -> list[Candidate]:
    """List those that no other beats in accuracy at no higher first cost, cheapest first, none that was stopped."""
    return _front([candidate for candidate in found if not candidate.score.stopped])


def best_first(found: Sequence[Candidate]) -> list[Candidate]:
    """Order by fronts, the outer first; inside one by the gaps around each, the widest first. Stopped ones are last."""
    left = [candidate for candidate in found if not candidate.score.stopped]
    ordered: list[Candidate] = []
    while left:
        layer = _front(left)
        gaps = dict(zip(map(id, layer), _gaps(layer), strict=True))
        ordered += sorted(layer, key=lambda candidate: gaps[id(candidate)], reverse=True)
        taken = set(map(id, layer))
        left = [candidate for candidate in left if id(candidate) not in taken]
    return ordered + [candidate for candidate in found if candidate.score.stopped]


def _front(found: Sequence[Candidate]) -> list[Candidate]:
    best, kept = -1.0, []
    for candidate in sorted(found, key=lambda item: (item.costs[0], -item.score.accuracy)):
        if candidate.score.accuracy > best:
            best = candidate.score.accuracy
            kept.append(candidate)
    return kept


def _gaps(layer: Sequence[Candidate]) -> list[float]:
    """Return how far the neighbours of each are apart along the front: endless at its ends."""
    if len(layer) < 3:
        return [float("inf")] * len(layer)
    cost = layer[-1].costs[0] - layer[0].costs[0] or 1.0
    accuracy = layer[-1].score.accuracy - layer[0].score.accuracy or 1.0
    inner = [
        (after.costs[0] - before.costs[0]) / cost + (after.score.accuracy - before.score.accuracy) / accuracy
        for before, after in zip(layer, layer[2:], strict=False)
    ]
    return [float("inf"), *inner, float("inf")]
