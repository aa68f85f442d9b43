"""The search: it finds the best, goes on where it was killed, and keeps to its limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_data import SPACE
from support.strategies import refusal

from resnas_deploy.arch.cost import macs
from resnas_deploy.searching.candidate import Candidate, Score, canonical, from_text, to_text
from resnas_deploy.searching.evolution import Evolution, propose
from resnas_deploy.searching.iterations import Search, run
from resnas_deploy.searching.limits import Limit, Limits, limit_of
from resnas_deploy.searching.pareto import best_first, front
from resnas_deploy.searching.prepare import macs_cost
from resnas_deploy.searching.store import SearchStore

SILENT = lambda _: None  # noqa: E731  a name for it
TOTAL = 1000
EVOLUTION = Evolution(iterations=4, first=30, mutated=10, crossed=10, parents=8)


class Wide:
    """A pool that likes wide networks: more MACs, more right; counts what it is asked."""

    def __init__(self, stop_after=10**9):
        self.asked = []
        self.targets = []
        self._left = stop_after

    def scores(self, subnets, target):
        found = []
        for subnet in subnets:
            if not self._left:
                raise KeyboardInterrupt
            self._left -= 1
            self.asked.append(subnet)
            found.append(Score(round(TOTAL * macs(subnet.arch) / macs(SPACE.widest().arch)), TOTAL))
        self.targets.append(target)
        return found


def middle():
    """MACs, in G, between the narrowest and the widest."""
    return float(np.mean(macs_cost().of([SPACE.narrowest().arch, SPACE.widest().arch])))


def search(**changes):
    limits = Limits((Limit(macs_cost(), middle()),))
    usual = {
        "space": SPACE,
        "supernet": "digest",
        "data": "stripes",
        "held_out": TOTAL,
        "limits": limits,
        "costs": (macs_cost(),),
        "evolution": EVOLUTION,
        "seed": 0,
    }
    return Search(**usual | changes)


def searched(path, wanted, pool):
    with SearchStore(path, wanted.identity) as store:
        return run(wanted, store, pool, SILENT)


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
    wanted = search(limits=Limits((Limit(macs_cost(), 1e-6),)))
    message = refusal(lambda: searched(tmp_path / "s.sqlite", wanted, pool))
    assert "must have subnets with MACs of at most 1e-06 G, found from" in message
    assert not pool.asked


def test_a_limit_that_everything_meets_limits_nothing(tmp_path):
    found = searched(tmp_path / "s.sqlite", search(limits=Limits((Limit(macs_cost(), 1e3),))), Wide())
    assert min(item.costs[0] for item in found.candidates) < 0.9 * max(item.costs[0] for item in found.candidates)


def test_limits_near_an_end_of_the_space_are_met():
    low, high = macs_cost().of([SPACE.narrowest().arch, SPACE.widest().arch])
    for most in (low * 1.01, high * 0.99):
        limits = Limits((Limit(macs_cost(), float(most)),)).within(SPACE)
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
    wanted = search(limits=Limits(()), evolution=replace(EVOLUTION, pareto=True))
    found = searched(tmp_path / "s.sqlite", wanted, Wide())
    costs = [item.costs[0] for item in found.best]
    assert costs == sorted(costs)
    right = [item.score.accuracy for item in found.best]
    assert right == sorted(right)
    assert len(found.finalists(3)) == 3
    assert found.finalists(3)[0] == found.best[0]
    assert found.finalists(3)[-1] == found.best[-1]


scores = st.lists(st.tuples(st.integers(0, 10), st.integers(1, 9), st.booleans()), min_size=1, max_size=12)


def candidates(rows):
    subnet = SPACE.widest()
    return [
        Candidate(subnet, Score(right, 10, stopped), (float(cost),), number)
        for number, (right, cost, stopped) in enumerate(rows)
    ]


@given(scores)
def test_the_front_is_what_nothing_beats(rows):
    found = candidates(rows)
    whole = [item for item in found if not item.score.stopped]
    line = front(found)
    for item in whole:
        better = [
            other for other in line if other.costs[0] <= item.costs[0] and other.score.accuracy >= item.score.accuracy
        ]
        assert better  # something on the line is at least as good
    for one in line:
        assert not any(other.costs[0] <= one.costs[0] and other.score.accuracy > one.score.accuracy for other in whole)
    assert sorted(map(id, best_first(found))) == sorted(map(id, found))


@given(st.integers(0, 200))
def test_subnets_survive_as_text_and_have_one_way_to_be_written(seed):
    subnet = SPACE.sample(np.random.default_rng(seed))
    one = canonical(subnet, SPACE.widest())
    assert from_text(to_text(one)) == one
    assert one.arch == subnet.arch
    assert one.kept == subnet.kept
    assert canonical(one, SPACE.widest()) == one
    assert SPACE.contains(one)


@pytest.mark.parametrize(("text", "value"), [("2.9G", 2.9), (" 1500 M", 1.5), ("2000000", 0.002)])
def test_limits_as_text(text, value):
    units = {"G": 1.0, "M": 1e-3, "": 1e-9}
    assert limit_of(macs_cost(), text, units, "--max-macs", SPACE).most == pytest.approx(value)


def test_a_percentage_is_of_the_widest_subnet():
    found = limit_of(macs_cost(), "40%", {"G": 1.0}, "--max-macs", SPACE)
    assert found.most == pytest.approx(0.4 * macs(SPACE.widest().arch) / 1e9)


@pytest.mark.parametrize("text", ["", "G", "-1G", "1T", "nanG", "0G", "1e999G", "1 2G", "%"])
def test_what_is_no_limit_is_refused(text):
    assert "--max must be a number with one of the units G, M, or % of the widest subnet's, found" in refusal(
        lambda: limit_of(macs_cost(), text, {"G": 1.0, "M": 1e-3}, "--max", SPACE)
    )
