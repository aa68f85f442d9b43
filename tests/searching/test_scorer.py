"""The rule that stops hopeless candidates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from resnas_deploy.searching.scorer import RISK, StoppingRule

TOTAL, BATCH = 1000, 100
LOOKS = TOTAL // BATCH - 1
RULE = StoppingRule(TOTAL, LOOKS)


def stopped_at(right, target):
    """After how many images a candidate is stopped; None where it is not."""
    for seen in range(BATCH, TOTAL, BATCH):
        if int(right[:seen].sum()) < RULE.least(seen, target):
            return seen
    return None


def drawn(correct, rng):
    return rng.permutation(np.arange(TOTAL) < correct)


def test_a_candidate_as_good_as_the_target_is_hardly_ever_lost():
    rng = np.random.default_rng(0)
    lost = sum(stopped_at(drawn(700, rng), 700) is not None for _ in range(3000))
    assert lost / 3000 <= 3 * RISK


def test_a_hopeless_candidate_is_stopped_early():
    rng = np.random.default_rng(0)
    stops = [stopped_at(drawn(500, rng), 700) for _ in range(200)]
    assert None not in stops
    assert np.median(stops) <= 200


def test_what_cannot_reach_the_target_any_more_is_stopped():
    assert RULE.least(400, 601) > 0  # of the others 600 could be right
    assert RULE.least(400, 601) <= 390


@pytest.mark.parametrize("target", [0, 1, 300, 601, 999, 1000])
def test_the_least_is_where_the_tail_of_the_distribution_becomes_too_small(target):
    for seen in (100, 500, 900):
        tails = stats.hypergeom.cdf(np.arange(seen + 1), TOTAL, target, seen)
        hopeless = (np.arange(seen + 1) + TOTAL - seen < target) | (tails < RISK / LOOKS)
        least = RULE.least(seen, target)
        assert hopeless[:least].all()
        assert not hopeless[least:].any()
