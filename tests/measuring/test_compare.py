"""Verdicts, and how many more openings one would take."""

from __future__ import annotations

import json
import math

import pytest
from support.made_up_measuring import measurement

from resnas_deploy.measuring.compare import CANNOT_TELL, FASTER, SLOWER, Comparison, compared
from resnas_deploy.measuring.measurement import DEVICE
from resnas_deploy.measuring.statistics import Interval

ONES = ((1.0, 1.0),) * 4


def comparison(value, low, high, openings=6):
    item = measurement(((1.0,),) * openings)
    return Comparison(item, item, Interval(value, low, high))


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ((0.9, 0.8, 0.99), FASTER),
        ((0.9, 0.8, 1.0), CANNOT_TELL),
        ((1.0, 1.0, 1.0), CANNOT_TELL),
        ((1.1, 1.0, 1.2), CANNOT_TELL),
        ((1.1, 1.001, 1.2), SLOWER),
    ],
)
def test_a_verdict_is_an_interval_without_1(bounds, verdict):
    assert comparison(*bounds).verdict == verdict


def test_more_openings_grow_with_the_square_of_the_width():
    """Half a width away from 1, four times the openings are needed: three times as many more."""
    effect = 0.02

    def advised(width, openings=6):
        return comparison(*(math.exp(effect + offset) for offset in (0, -width, width)), openings).more_openings

    assert advised(1.999 * effect) == 18  # rounded up
    assert advised(1.999 * effect, openings=10) == 30
    assert advised(3.999 * effect) == 90
    assert advised(1.001 * effect) == 1


def test_no_more_openings_for_a_verdict_and_none_for_no_effect():
    assert comparison(0.9, 0.8, 0.95).more_openings == 0
    assert comparison(1.0, 0.9, 1.1).more_openings is None


def test_one_opening_tells_nothing_however_narrow():
    found = comparison(0.5, 0.49, 0.51, openings=1)
    assert (found.verdict, found.more_openings) == (CANNOT_TELL, 1)


def test_a_bound_at_1_itself_needs_one_more():
    assert comparison(math.exp(0.02), 1.0, math.exp(0.04)).more_openings == 1


def test_round_by_round_though_the_machine_drifts():
    """Times of a machine that is up to nine times slower in one round than in another."""
    first = measurement(((1.0, 9.0), (3.0, 2.0), (5.0, 1.0)))
    second = measurement(tuple(tuple(0.97 * value for value in group) for group in first.samples_s), label="other")
    (found,) = compared([first, second])
    assert found.verdict == FASTER
    assert found.ratio.value == pytest.approx(0.97)
    (found,) = compared([second, first])
    assert found.verdict == SLOWER


def test_equal_and_noisy_samples_tell_nothing():
    first = measurement(((1.0, 1.1), (1.2, 1.0), (1.1, 1.1)))
    second = measurement(((1.1, 1.05), (1.0, 1.2), (1.15, 1.2)))
    (found,) = compared([first, second])
    assert found.verdict == CANNOT_TELL
    assert found.more_openings > 0
    assert compared([first, first])[0].verdict == CANNOT_TELL


def test_each_batch_and_latency_that_both_could_run():
    both = [measurement(ONES, batch=batch, latency=latency) for batch in (1, 2) for latency in ("host to host", DEVICE)]
    lost = measurement((), failure="out of memory", batch=8)
    found = compared([*both, measurement(ONES, batch=8), *both, lost, measurement(ONES, batch=4)])
    assert [(item.first.configuration.batch, item.first.configuration.latency) for item in found] == [
        (1, "host to host"),
        (1, DEVICE),
        (2, "host to host"),
        (2, DEVICE),
    ]


def test_as_json():
    document = json.loads(json.dumps(comparison(0.9, 0.8, 1.1).to_json()))
    assert (document["second_over_first"], document["low"], document["high"]) == (0.9, 0.8, 1.1)
    assert (document["verdict"], document["openings"]) == (CANNOT_TELL, 6)
    assert document["more_openings"] == comparison(0.9, 0.8, 1.1).more_openings
