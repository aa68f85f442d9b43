"""The first subnets of a search, and the parents of the later ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from support.mini_space import MINI, drawn, measured, truth

from resnas_deploy.measuring.latency.profile import regression_of
from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.costs import LATENCY, CostKind, CostLimit, CostLimits, macs_cost, parameters_cost
from resnas_deploy.searching.evolution import Evolution, propose
from resnas_deploy.searching.first_subnets import FirstSubnets
from resnas_deploy.weights.space_files import packaged_spaces


def rng(seed=0):
    return np.random.default_rng(seed)


def half_of(cost, space):
    """A limit half-way between what the narrowest and the widest cost."""
    return CostLimit(cost, float(np.mean(cost.of([space.narrowest().arch, space.widest().arch]))))


def latency():
    """What a model of a made-up machine predicts."""
    regression = regression_of(measured(drawn(MINI, 60), truth()))
    return CostKind(LATENCY, "ms", lambda archs: regression.predict(archs).ms)


def largest(space, subnet):
    """The subnet with the largest heads and hidden channels everywhere."""
    stages = tuple(
        replace(stage, blocks=tuple(replace(b, heads=max(own.heads), hidden=max(own.hidden)) for b in stage.blocks))
        for own, stage in zip(space.stages, subnet.full.stages, strict=True)
    )
    return replace(subnet, full=replace(subnet.full, stages=stages))


@pytest.mark.parametrize(
    "kinds",
    [(macs_cost,), (parameters_cost,), (latency,), (macs_cost, latency)],
    ids=["macs", "parameters", "latency", "both"],
)
def test_they_are_cut_until_every_kind_of_limit_holds(kinds):
    limits = CostLimits(tuple(half_of(kind(), MINI) for kind in kinds)).within(MINI)
    draws = FirstSubnets(MINI, limits, rng())
    found = draws.draw(64) + draws.draw(64)
    assert len(found) > 10
    for subnet in found:
        assert MINI.contains(subnet)
    shares = limits.highest(found)
    assert (shares <= 1).all()
    assert (shares >= limits.window).all()
    # What was cut would not have had to be, were the limit higher: with nothing cut each costs more, or it is uncut.
    uncut = [largest(MINI, subnet) for subnet in found]
    assert all(
        whole == subnet or share > 1 for whole, subnet, share in zip(uncut, found, limits.highest(uncut), strict=True)
    )


def test_they_lie_just_below_the_limit_of_the_papers_search():
    space = packaged_spaces()["tiny"]
    limits = CostLimits((CostLimit(macs_cost(), 1.7944),)).within(space)
    found = FirstSubnets(space, limits, rng()).draw(100)
    assert len(found) > 25  # the other draws are too narrow or too wide whatever is cut
    assert limits.highest(found).min() > 0.975
    assert np.quantile(limits.highest(found), 0.5) > 0.995
    widths = Counter(subnet.full.stages[0].width for subnet in found)
    assert len(widths) == 5
    assert {flags[1::2] for subnet in found for flags in subnet.kept} >= {(True, False, True), (False, True, False)}
    # Stages and kinds of dimension are cut alike: none is at its ends alone.
    for index, stage in enumerate(space.stages):
        blocks = [block for subnet in found for block in subnet.full.stages[index].blocks]
        assert len({block.heads for block in blocks}) == len(stage.heads)
        assert len({block.hidden for block in blocks}) == len(stage.hidden)


def test_where_nothing_limits_they_are_random():
    for limits in (CostLimits(()), CostLimits((CostLimit(macs_cost(), 1e3),)).within(MINI)):
        found = FirstSubnets(MINI, limits, rng()).draw(60)
        assert found == [MINI.sample(generator) for generator in [rng()] for _ in range(60)]


@pytest.mark.parametrize("share", [1.02, 0.98])
def test_limits_near_an_end_of_the_space_are_met(share):
    low, high = macs_cost().of([MINI.narrowest().arch, MINI.widest().arch])
    limits = CostLimits((CostLimit(macs_cost(), float(low if share > 1 else high) * share),)).within(MINI)
    found = propose(MINI, limits, Evolution(first=4), [], rng())
    assert len(set(found)) >= 3
    assert limits.inside(found).all()


def test_a_child_has_two_distinct_parents():
    """Two parents that differ in every dimension: a child of one alone would be that one, and is never proposed."""
    ends = [Candidate(end, Score(1, 2), (0.0,), 0) for end in (MINI.widest(), MINI.narrowest())]
    evolution = Evolution(first=1, mutated=0, crossed=30, parents=2)
    found = propose(MINI, CostLimits(()), evolution, ends, rng())
    assert len(set(found)) == 30
    drawn_pairs = []
    space = _Watched(MINI, drawn_pairs)
    propose(space, CostLimits(()), evolution, ends, rng())
    assert drawn_pairs
    assert all(first != second for first, second in drawn_pairs)
    assert len(set(drawn_pairs)) == 2  # either is the first of the two


def test_one_parent_has_no_children_but_mutants():
    only = [Candidate(MINI.widest(), Score(1, 2), (0.0,), 0)]
    found = propose(MINI, CostLimits(()), Evolution(mutated=5, crossed=5, parents=1), only, rng())
    assert len(found) == 5


class _Watched:
    """A space that notes which parents are crossed."""

    def __init__(self, space, pairs):
        self._space, self._pairs = space, pairs

    def __getattr__(self, name):
        return getattr(self._space, name)

    def crossover(self, first, second, generator):
        self._pairs.append((first, second))
        return self._space.crossover(first, second, generator)
