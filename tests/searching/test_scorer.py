"""The rule that stops hopeless candidates."""

from __future__ import annotations

import numpy as np

from resnas_deploy.searching.scorer import RISK, hopeless

TOTAL, BATCH = 1000, 100
LOOKS = TOTAL // BATCH - 1


def stopped_at(right, target):
    """After how many images a candidate is stopped; None where it is not."""
    for seen in range(BATCH, TOTAL, BATCH):
        if hopeless(int(right[:seen].sum()), seen, target, TOTAL, LOOKS):
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
    assert hopeless(0, 400, 601, TOTAL, LOOKS)
    assert not hopeless(390, 400, 601, TOTAL, LOOKS)
