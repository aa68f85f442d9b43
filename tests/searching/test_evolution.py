"""How long new subnets are looked for where there are few."""

from __future__ import annotations

import numpy as np
from support.every_subnet import every_subnet
from support.mini_space import EIGHT

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.searching.candidate import Candidate, Score, canonical
from resnas_deploy.searching.costs import CostLimit, CostLimits, memory_cost
from resnas_deploy.searching.evolution import Evolution, propose
from resnas_deploy.searching.first_subnets import FirstSubnets


def test_a_small_space_is_seen_whole_and_then_left(monkeypatch):
    draw, tries = FirstSubnets.draw, []

    def counted(self, count):
        tries.append(count)
        return draw(self, count)

    monkeypatch.setattr(FirstSubnets, "draw", counted)
    found = propose(EIGHT, CostLimits(()), Evolution(first=500), [], np.random.default_rng(0))
    assert set(found) == {canonical(subnet, EIGHT.widest()) for subnet in every_subnet(EIGHT)}
    assert sum(tries) <= 50 * 8, "not 200 for each of the 500 that were asked for"


def test_costs_with_a_gap_below_the_limit_have_subnets_from_beneath_it():
    stage = StageSpace((8,), (2, 1), (4,), (8, 4), 2, (2,), ("global", "pooled4"))
    space = SearchSpace("gap", (stage, StageSpace((8,), (1,), (4,), (8,), 1)), 4, 96, 4)
    cost = memory_cost(1, "fp32")
    low, high = cost.of([space.narrowest().arch, space.widest().arch])
    within = CostLimits((CostLimit(cost, (low + high) / 2),)).within(space)
    evolution = Evolution(first=8, mutated=4, crossed=4, parents=4)
    assert not FirstSubnets(space, within, np.random.default_rng(0)).draw(64), "none is near"
    first = propose(space, within, evolution, [], np.random.default_rng(0))
    assert len(first) == 8
    later = propose(
        space,
        within,
        evolution,
        [Candidate(subnet, Score(1, 2), (1.0,), 0) for subnet in first],
        np.random.default_rng(1),
    )
    assert later
    assert (cost.of([subnet.arch for subnet in first + later]) <= within.limits[0].most).all()
