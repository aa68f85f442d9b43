"""What one front gains over another: it is what was put in."""

from __future__ import annotations

import numpy as np
import pytest
from fronts import gained


def _front(times, *, faster=1.0, better=0.0):
    """Return subnets whose top-1 rises with the logarithm of latency, and whose cross-entropy falls with it."""
    return [
        {"ms": time * faster, "top1": 0.8 + 0.05 * np.log(time) + better, "cross_entropy": 0.6 - 0.1 * np.log(time)}
        for time in times
    ]


@pytest.mark.parametrize("times", [[1.0, 2.0, 4.0], [1.5, 3.0, 5.0, 6.0], [4.0, 1.0]])
def test_a_front_of_faster_subnets_gains_as_much_latency(times):
    found = gained(_front(times, faster=0.9), _front([1.0, 1.7, 3.0, 5.0]))
    assert found["latency_at_equal_top1"] == pytest.approx(-0.1)
    assert found["latency_at_equal_cross_entropy"] == pytest.approx(-0.1)


def test_a_front_of_better_subnets_gains_as_much_accuracy():
    found = gained(_front([1.0, 4.0], better=0.01), _front([1.0, 2.0, 4.0]))
    assert found["top1_at_equal_latency"] == pytest.approx(0.01)
    assert found["cross_entropy_at_equal_latency"] == pytest.approx(0)


def test_a_front_gains_nothing_over_itself():
    front = _front([1.0, 2.0, 4.0])
    assert set(gained(front, front).values()) == {0.0}


def test_a_slower_subnet_that_is_worse_needs_no_latency_of_its_own():
    """It is not what the level is reached by."""
    bad = {"ms": 3.0, "top1": 0.5, "cross_entropy": 2.0}
    found = gained([*_front([1.0, 2.0, 4.0]), bad], _front([1.0, 2.0, 4.0]))
    assert found["latency_at_equal_top1"] == pytest.approx(0)


def test_who_has_more_time_can_take_a_faster_subnet():
    slow = gained(_front([4.0, 8.0]), _front([1.0, 2.0]))
    assert slow["top1_at_equal_latency"] == pytest.approx(0.05 * np.log(np.sqrt(32) / 2))
    assert "latency_at_equal_top1" not in slow  # for no level is reached by both
