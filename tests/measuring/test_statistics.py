"""Intervals of ratios: how often they hold the truth, and what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnas_deploy.measuring import statistics
from resnas_deploy.measuring.statistics import Interval, ratio_interval

TRIALS = 300
times = st.floats(1e-6, 1e3)


@st.composite
def pairs(draw, most_openings=4, most_rounds=6):
    """Samples of two steps in the same rounds of the same openings."""
    rounds = draw(st.lists(st.integers(1, most_rounds), min_size=1, max_size=most_openings))
    return [[draw(st.lists(times, min_size=n, max_size=n)) for n in rounds] for _ in range(2)]


def interval(ours, theirs, seed=0):
    return ratio_interval(ours, theirs, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("openings", "between_openings", "least", "most"),
    [
        (1, 0.0, 0.88, 0.99),  # of one opening the rounds are drawn, and openings must not differ
        (2, 0.02, 0.88, 1.0),
        (3, 0.02, 0.90, 1.0),
        (6, 0.02, 0.90, 0.99),
        (12, 0.02, 0.91, 0.99),
    ],
)
def test_the_interval_holds_the_truth_as_often_as_it_says(monkeypatch, openings, between_openings, least, most):
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(TRIALS):
        drift = rng.normal(0, 0.3, (openings, 10))  # of the machine, which hits both
        opening = rng.normal(0, between_openings, (openings, 1))
        noise = rng.normal(0, 0.01, (2, openings, 10))
        ours, theirs = np.exp(drift + math.log(1.03) + opening + noise[0]), np.exp(drift + noise[1])
        held += 1.03 in ratio_interval(ours.tolist(), theirs.tolist(), rng)
    assert least <= held / TRIALS <= most


def test_rounds_of_one_opening_tell_less_than_they_seem_to():
    """Where openings differ, more of them narrow the interval, and more rounds of them hardly do."""
    rng = np.random.default_rng(3)

    def width(openings, rounds):
        found = []
        for _ in range(40):
            logs = rng.normal(0, 0.05, (openings, 1)) + rng.normal(0, 0.01, (openings, rounds))
            found.append(interval(np.exp(logs).tolist(), np.ones_like(logs).tolist()).half_width)
        return np.mean(found)

    assert width(24, 5) < 0.7 * width(6, 5)
    assert width(6, 20) > 0.8 * width(6, 5)


@given(pairs())
def test_the_ratio_to_itself_is_1_without_doubt(samples):
    found = interval(samples[0], samples[0])
    assert (found.value, found.low, found.high) == (1, 1, 1)


@given(pairs(), st.floats(0.01, 100))
def test_scaling_one_scales_the_interval(samples, factor):
    plain = interval(*samples)
    scaled = interval([[factor * value for value in group] for group in samples[0]], samples[1])
    for name in ("value", "low", "high"):
        assert getattr(scaled, name) == pytest.approx(factor * getattr(plain, name), rel=1e-6)


@given(pairs())
def test_a_drift_of_the_machine_cancels_round_by_round(samples):
    """Both of a round slowed alike, whatever the factor."""
    rng = np.random.default_rng(5)
    factors = [rng.uniform(0.5, 4, len(group)) for group in samples[0]]
    slowed = [[list(np.multiply(group, f)) for group, f in zip(one, factors, strict=True)] for one in samples]
    plain, found = interval(*samples), interval(*slowed)
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high), rel=1e-6)


@given(pairs())
def test_bounds_lie_around_the_value_and_samples_decide_them(samples):
    found = interval(*samples)
    assert 0 < found.low <= found.value <= found.high < math.inf
    assert found.value in found
    assert found.half_width >= 0
    assert interval(*samples) == found


@given(pairs())
def test_the_other_way_round_is_the_reciprocal(samples):
    assert interval(*samples).value * interval(*samples[::-1]).value == pytest.approx(1)


def test_the_median_ignores_an_outlier():
    found = interval([[2.0, 2.0, 90.0], [2.0, 2.0, 2.0]], [[1.0] * 3] * 2)
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))


def test_empty_openings_do_not_count():
    assert interval([[2.0], []], [[1.0], []]).value == pytest.approx(2)
    with pytest.raises(ValueError, match="needs samples"):
        interval([[]], [[]])


def test_openings_must_be_the_same():
    with pytest.raises(ValueError, match="zip"):
        interval([[1.0]], [[1.0], [1.0]])


def test_a_ratio_of_two_estimates_is_wider_than_either():
    one, other = Interval(1.2, 1.1, 1.3), Interval(0.6, 0.57, 0.63)
    found = one / other
    assert found.value == pytest.approx(2)
    assert found.half_width == pytest.approx(math.hypot(one.half_width, other.half_width))
    assert found.half_width > max(one.half_width, other.half_width)
    assert math.log(found.high / 2) == pytest.approx(math.log(2 / found.low))


def test_half_width_is_the_wider_side():
    assert Interval(1.0, 0.5, 1.1).half_width == pytest.approx(math.log(2))
    assert Interval(1.0, 0.9, 1.1).half_width == pytest.approx(math.log(1 / 0.9))
