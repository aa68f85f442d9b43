"""Searches that were made up: any number of candidates, of any space, with finalists that were measured."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
from support.made_up_measuring import measurement

from resnas_deploy.arch.cost import macs
from resnas_deploy.searching.candidate import Candidate, Score, canonical
from resnas_deploy.searching.costs import LATENCY, CostKind, macs_cost, parameters_cost
from resnas_deploy.searching.finalists import Finalist
from resnas_deploy.searching.found import Searched
from resnas_deploy.searching.measured_limits import MeasuredLimit
from resnas_deploy.searching.reported import ReportedSearch

HELD_OUT = 25_000


def latency_of(archs):
    return np.array([2 + macs(arch) / 4e8 for arch in archs])


PREDICTED = CostKind(LATENCY, "ms", latency_of, low=0.95, high=1.06)
COSTS = (PREDICTED, macs_cost(), parameters_cost())


def reported(space, count, *, costs=COSTS, finalists=3, stopped=0.4):
    """A search: the more MACs, the more right, with noise; half of the widest's latency is the limit."""
    rng = np.random.default_rng(0)
    widest = space.widest()
    found = {}
    while len(found) < count:
        subnet = canonical(space.sample(rng), widest)
        share = macs(subnet.arch) / macs(widest.arch)
        right = round(HELD_OUT * (0.45 + 0.3 * share**0.5 + rng.normal(0, 0.01)))
        early = len(found) > count / 7 and rng.random() < stopped
        score = Score(round(right * 0.1), HELD_OUT // 10, stopped=True) if early else Score(right, HELD_OUT)
        own = tuple(float(cost.of([subnet.arch])[0]) for cost in costs)
        found[subnet] = Candidate(subnet, score, own, len(found) * 20 // count)
    candidates = list(found.values())
    best = sorted((item for item in candidates if not item.score.stopped), key=lambda item: item.rank)[-finalists:][
        ::-1
    ]
    measured = [_finalist(item, number) for number, item in enumerate(best)]
    limit = float(np.median([item.costs[0] for item in best]))
    return ReportedSearch(
        searched=Searched(space, "photos", HELD_OUT, "little", {costs[0].name: limit}),
        costs=costs,
        limits=(MeasuredLimit("p50", limit),),
        candidates=candidates,
        finalists=tuple(measured),
        chosen=measured[min(1, len(measured) - 1)],
    )


def _finalist(candidate, number):
    ms = latency_of([candidate.subnet.arch])[0] * (1.03, 0.98, 1.01)[number % 3]
    runs = tuple(ms / 1e3 * (1 + 0.004 * place) for place in range(10))
    return Finalist(candidate, None, measurement((runs, runs)), None, 1.1 if number == 0 else 0.9)


def unmeasured(search, failure="out of memory"):
    """The same without a winner: the first finalist could not run and the others were not measured yet."""
    first, *others = search.finalists
    failed = replace(first, measurement=measurement((), failure=failure), share=inf)
    waiting = (replace(item, measurement=None, share=inf) for item in others)
    return replace(search, finalists=(failed, *waiting), chosen=None)
