"""The iterations of a search: they find the best, go on where they were killed, and keep to their limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.checks import refusal
from support.small_data import SPACE
from support.wide_search import EVOLUTION, Wide, middle, search, searched

from resnas_deploy.searching.costs import CostLimit, CostLimits, macs_cost
from resnas_deploy.searching.evolution import propose


def test_it_finds_what_is_best_within_the_limit(tmp_path):
    pool = Wide()
    found = searched(tmp_path / "s.sqlite", search(), pool)
    best = found.best[0]
    assert best.costs[0] <= middle()
    assert best.costs[0] > 0.99 * middle()
    assert len(pool.asked) == len(set(pool.asked)) == len(found.candidates)  # each once
    assert all(0.975 * middle() <= item.costs[0] <= middle() for item in found.candidates)


def test_the_same_seed_finds_the_same_and_another_looks_elsewhere(tmp_path):
    one, two = (searched(tmp_path / f"{n}.sqlite", search(), Wide()) for n in range(2))
    assert one == two
    other = searched(tmp_path / "3.sqlite", search(seed=1), Wide())
    assert [item.subnet for item in other.candidates] != [item.subnet for item in one.candidates]


@pytest.mark.parametrize("stop", [1, 8, 29, 30, 41, 60])
def test_a_search_that_was_stopped_goes_on_to_the_same_winner(tmp_path, stop):
    whole = searched(tmp_path / "whole.sqlite", search(), Wide())
    first, second = Wide(stop), Wide()
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "cut.sqlite", search(), first)
    assert searched(tmp_path / "cut.sqlite", search(), second) == whole
    assert len(second.asked) <= len(whole.candidates) - stop + 8  # but for the wave that was cut off, all is kept


def test_a_store_of_another_search_is_refused(tmp_path):
    searched(tmp_path / "s.sqlite", search(), Wide())
    message = refusal(lambda: searched(tmp_path / "s.sqlite", search(seed=1), Wide()))
    assert "must be of the same search, found another supernet, data, limit or setting" in message


def test_a_limit_that_nothing_meets_is_refused_at_once_with_the_range(tmp_path):
    pool = Wide()
    wanted = search(limits=CostLimits((CostLimit(macs_cost(), 1e-6),)))
    message = refusal(lambda: searched(tmp_path / "s.sqlite", wanted, pool))
    assert "must have subnets with MACs of at most 1e-06 G, found from" in message
    assert not pool.asked


def test_a_limit_that_everything_meets_limits_nothing(tmp_path):
    found = searched(tmp_path / "s.sqlite", search(limits=CostLimits((CostLimit(macs_cost(), 1e3),))), Wide())
    assert min(item.costs[0] for item in found.candidates) < 0.9 * max(item.costs[0] for item in found.candidates)


def test_limits_near_an_end_of_the_space_are_met():
    low, high = macs_cost().of([SPACE.narrowest().arch, SPACE.widest().arch])
    for most in (low * 1.01, high * 0.99):
        limits = CostLimits((CostLimit(macs_cost(), float(most)),)).within(SPACE)
        found = propose(SPACE, limits, EVOLUTION, [], np.random.default_rng(0))
        assert found
        assert limits.inside(found).all()


def test_targets_are_those_of_the_last_parent(tmp_path):
    pool = Wide()
    found = searched(tmp_path / "s.sqlite", search(), pool)
    assert pool.targets[0] is None
    best = sorted((item.score.correct for item in found.candidates[:8]), reverse=True)
    assert pool.targets[1] == best[7]
    off = Wide()
    searched(tmp_path / "off.sqlite", search(early_stopping=False), off)
    assert set(off.targets) == {None}


def test_a_pareto_search_keeps_the_whole_front(tmp_path):
    wanted = search(limits=CostLimits(()), evolution=replace(EVOLUTION, pareto=True))
    found = searched(tmp_path / "s.sqlite", wanted, Wide())
    costs = [item.costs[0] for item in found.best]
    assert costs == sorted(costs)
    right = [item.score.accuracy for item in found.best]
    assert right == sorted(right)
    assert len(found.finalists(3)) == 3
    assert found.finalists(3)[0] == found.best[0]
    assert found.finalists(3)[-1] == found.best[-1]


def test_limits_that_look_alike_are_of_different_searches():
    one, two = (search(limits=CostLimits((CostLimit(macs_cost(), most),))).identity for most in (1.7944, 1.7856))
    assert one != two
