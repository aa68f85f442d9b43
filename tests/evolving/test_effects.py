"""Effects of choices are found again in made-up scores, with intervals that hold what is true."""

from __future__ import annotations

import numpy as np
import pytest
from support.mini_space import MINI

from resnas_deploy.errors import BadInput
from resnas_deploy.evolving.dimensions import Dimension, dimensions, in_steps, step, values
from resnas_deploy.evolving.effects import CONFIDENCE, effects, least_subnets
from resnas_deploy.searching.costs import macs_cost

ASKED = [(dimension, step(MINI, dimension)) for dimension in dimensions(MINI)]
NAMES = [str(dimension) for dimension, _ in ASKED]


def scored(seed, slopes, noise=0.005, count=200):
    """Random subnets of MINI, made-up accuracies of known effects, and MACs."""
    rng = np.random.default_rng(seed)
    subnets = [MINI.sample(rng) for _ in range(count)]
    taken = in_steps(MINI, subnets)
    cost = macs_cost().of([subnet.arch for subnet in subnets])
    accuracy = 0.5 + taken @ np.array([slopes.get(name, 0.0) for name in NAMES]) + rng.normal(0, noise, count)
    return taken, accuracy, cost


def found(seed, slopes, *, binding=False, **how):
    result = effects(ASKED, *scored(seed, slopes, **how), np.random.default_rng(seed), binding=binding)
    return {str(effect.dimension): effect for effect in result}


def test_the_dimensions_are_those_with_a_choice():
    assert NAMES[:4] == ["stage 1: width", "stage 1: blocks", "stage 1: heads", "stage 1: hidden"]
    assert "stage 1: head dim" not in NAMES
    assert "stem width" not in NAMES
    assert values(MINI, Dimension("blocks", 1)) == (2, 3, 4)
    assert values(MINI, Dimension("width", 2)) == (16, 20, 24)
    assert step(MINI, Dimension("width", 2)) == 4


def test_known_effects_are_found_again():
    true = {"stage 1: width": 0.02, "stage 2: blocks": -0.03, "stage 3: hidden": 0.01}
    result = found(0, true)
    for name, effect in result.items():
        for part in (effect.expectation, effect.top):
            assert part.low <= true.get(name, 0.0) <= part.high
        assert effect.gain.value == pytest.approx((effect.expectation.value + effect.top.value) / 2)
    assert [name for name, effect in result.items() if effect.gain.sign] == list(true)
    assert result["stage 2: blocks"].gain.sign == -1


def test_where_nothing_has_an_effect_one_is_seen_seldom():
    seen = sum(any(effect.gain.sign for effect in found(seed, {}).values()) for seed in range(40))
    assert seen <= 40 * 3 * (1 - CONFIDENCE)


def test_the_better_ones_may_differ_from_the_mean():
    """Hidden channels that only make results differ more: nothing in the mean, and more for the better ones."""
    taken, accuracy, cost = scored(1, {}, count=600)
    place = NAMES.index("stage 3: hidden")
    accuracy = 0.5 + (accuracy - 0.5) * (1 + 2 * (taken[:, place] - taken[:, place].min()))
    effect = effects(ASKED, taken, accuracy, cost, np.random.default_rng(0), binding=False)[place]
    assert effect.expectation.sign == 0
    assert effect.top.sign == 1


def test_what_is_no_better_than_its_cost_elsewhere_gains_nothing():
    """Accuracy that follows from cost alone: all steps are worth what they cost, and none is worth moving to."""
    taken, _, cost = scored(2, {})
    slopes = np.linalg.lstsq(taken - taken.mean(axis=0), cost - cost.mean(), rcond=None)[0]
    by_cost = dict(zip(NAMES, (slopes / cost.mean()).tolist(), strict=True))
    free, paid = found(2, by_cost, noise=0.001), found(2, by_cost, noise=0.001, binding=True)
    assert sum(effect.gain.sign > 0 for effect in free.values()) > len(NAMES) / 2
    assert not any(effect.gain.sign for effect in paid.values())


def test_what_costs_and_does_nothing_loses():
    result = found(3, {"stage 1: width": 0.05}, binding=True)
    assert result["stage 1: width"].gain.sign == 1
    assert result["stage 1: heads"].gain.sign == -1
    assert result["stage 1: heads"].expectation.sign == 0


def test_what_goes_together_shares_its_effect():
    taken, accuracy, cost = scored(4, {"stage 1: width": 0.02})
    twice = np.concatenate([taken, taken[:, :1]], axis=1)
    again = Dimension("stem width")
    first, *_, last = effects([*ASKED, (again, 1.0)], twice, accuracy, cost, np.random.default_rng(0), binding=False)
    assert first.expectation.value == pytest.approx(0.01, abs=0.003)
    assert last.expectation.value == pytest.approx(first.expectation.value, abs=1e-6)


def test_too_few_subnets_are_refused():
    taken, accuracy, cost = scored(5, {}, count=least_subnets(len(ASKED)) - 1)
    with pytest.raises(BadInput, match=r"`subnets` must be 27 or more for the 12 choices .*found 26"):
        effects(ASKED, taken, accuracy, cost, np.random.default_rng(0), binding=True)
