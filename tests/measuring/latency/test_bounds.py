"""The bound that a limit is held against: as many new networks stay below it as it says, and percentiles lie above."""

from __future__ import annotations

import numpy as np
import pytest
from support.checks import refusal
from support.mini_space import MINI, drawn, truth

from resnas_deploy.measuring.latency.bounds import RUNS, check_confidence, factor_within, percent, typical_tail
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.regression import fit

ARCHS, OTHERS, WEIGHTS = drawn(MINI, 120), drawn(MINI, 400, seed=6), truth()


def noisy(archs, rng, sigma=0.03):
    return Terms(3).of(archs) @ WEIGHTS * np.exp(rng.normal(0, sigma, len(archs)))


def runs(count=60, rounds=20, sigma=0.02, seed=0):
    """The seconds of `count` networks, some of whose runs are disturbed."""
    rng = np.random.default_rng(seed)
    times = 0.002 * np.exp(rng.normal(0, sigma, (count, rounds))) * np.where(rng.random((count, rounds)) < 0.05, 1.5, 1)
    return tuple(map(tuple, times.tolist()))


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_as_many_new_networks_stay_below_the_bound_as_it_says(confidence):
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = fit(ARCHS, noisy(ARCHS, rng), 10.0, np.random.default_rng(seed))
        bound = model.predict(OTHERS).ms * model.factor_within(confidence)
        shares.append(np.mean(10.0 * noisy(OTHERS, rng) <= bound))
    assert abs(np.mean(shares) - confidence) < 0.025, f"{np.mean(shares):.1%} stay below"


@pytest.mark.parametrize("percentile", ["p90", "p99"])
def test_a_percentile_of_new_runs_stays_below_its_bound_as_often(percentile):
    errors = np.random.default_rng(1).normal(0, 0.02, 120)
    factor = factor_within(errors, runs(), 0.9, percentile)
    rng, kept = np.random.default_rng(2), []
    for number in range(300):
        finalist = runs(1, RUNS[percentile], seed=100 + number)[0]
        took = np.percentile(finalist, percent(percentile)) / np.median(finalist) * np.exp(rng.normal(0, 0.02))
        kept.append(took <= factor)
    assert 0.86 < np.mean(kept) < 0.99, f"{np.mean(kept):.1%} stay below"


def test_a_higher_percentile_and_a_higher_confidence_are_higher_bounds():
    errors = np.random.default_rng(1).normal(0, 0.02, 120)
    by_percentile = [factor_within(errors, runs(), 0.9, name) for name in RUNS]
    assert by_percentile == sorted(by_percentile)
    by_confidence = [factor_within(errors, runs(), confidence) for confidence in (0.5, 0.8, 0.9, 0.99)]
    assert by_confidence == sorted(by_confidence)
    tails = [typical_tail(runs(), name) for name in RUNS]
    assert tails[0] == 1.0
    assert tails == sorted(tails)


def test_the_rank_is_that_of_split_conformal_prediction():
    errors = np.arange(1, 20) / 1000  # 19 of them: nine tenths of 20 are 18
    assert factor_within(errors, (), 0.9) == pytest.approx(np.exp(0.018))
    assert factor_within(errors, (), 0.95) == pytest.approx(np.exp(0.019))


def test_what_the_profile_cannot_say_is_refused():
    message = refusal(lambda: factor_within(np.zeros(60), (), 0.99))
    assert "`confidence` 0.99 needs a profile of 99 networks or more, found 60" in message
    message = refusal(lambda: factor_within(np.zeros(60), runs(48, 5), 0.9, "p99"))
    assert "`percentile` p99 needs a profile of 500 runs or more, found 240 of 48 networks" in message
    assert factor_within(np.zeros(60), runs(48, 5), 0.9, "p90") > 1


@pytest.mark.parametrize("wrong", [0.0, 0.49, 1.0, 90.0, float("nan")])
def test_what_is_no_confidence_is_refused(wrong):
    assert "`confidence` must be from 0.5 to less than 1" in refusal(lambda: check_confidence(wrong))


def test_what_is_no_percentile_is_refused():
    assert "`percentile` must be one of p50, p90, p99, found 'p95'" in refusal(lambda: percent("p95"))
