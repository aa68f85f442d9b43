"""The search for the highest rate within a limit, and how many servers a demand needs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnas_deploy.serving.load.capacity import Capacity, LatencyLimit, find_capacity
from resnas_deploy.serving.load.level import LevelResult


def load(level, latencies_s, failures=()):
    return LevelResult(level, "grpc", 1, 1.0, tuple(latencies_s), tuple(failures), 0.0, None)


@given(st.floats(0.6, 500_000))
def test_the_search_finds_the_highest_rate_that_keeps_the_limit(most):
    tried = []

    def run(level):
        tried.append(level.rate)
        return load(level, [0.01 if level.rate <= most else 1.0])

    found = find_capacity(run, LatencyLimit(99, 50), first=8)
    assert found.rate <= most < found.broken
    assert found.broken <= 1.04 * found.rate
    assert len(tried) < 30


@pytest.mark.parametrize("disturbed", [0, 1, 3])
def test_a_rate_that_broke_it_once_is_asked_again_where_all_below_hold(disturbed):
    """Another's work on the machine at the first rates would else bound all that follows."""
    tried = []

    def run(level):
        tried.append(level.rate)
        broken = level.rate > 1000 or len(tried) == disturbed + 1
        return load(level, [1.0 if broken else 0.01])

    found = find_capacity(run, LatencyLimit(99, 50), first=8)
    assert 900 < found.rate <= 1000 < found.broken
    assert len(tried) < 30


def test_a_limit_that_no_rate_keeps():
    slow = find_capacity(lambda level: load(level, [1.0]), LatencyLimit(99, 50), first=8)
    assert (slow.rate, slow.broken) == (0, 0.5)
    failing = find_capacity(lambda level: load(level, [0.01] * 99, ["refused"]), LatencyLimit(99, 50), first=8)
    assert failing.rate == 0


@given(st.floats(0.5, 1e4), st.floats(0.1, 1e6))
def test_a_plan_is_the_fewest_servers_that_are_enough(rate, demand):
    found = Capacity(LatencyLimit(99, 50), rate, math.inf).servers_for(demand)
    assert found.servers * rate >= demand
    assert (found.servers - 1) * rate < demand
    assert found.margin == pytest.approx(found.servers * rate / demand - 1)
