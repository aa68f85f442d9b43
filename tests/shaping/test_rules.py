"""What the rules promise, of any costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnas_deploy.measuring.statistics import Interval
from resnas_deploy.shaping.rules import ADDED, DROPPED, KEPT, MARGIN, NOT_TAKEN, decide, no_more, taken


@st.composite
def problems(draw):
    """Values from the widest on, which of them the space has, what each costs, and what costs so alike that it counts.

    Costs that differ by no more than a tolerance count as the same: of such the relation is not transitive.
    """
    values = sorted(draw(st.sets(st.integers(1, 60), min_size=1, max_size=9)), reverse=True)
    choices = draw(st.sets(st.sampled_from(values), min_size=1))
    costs = {value: draw(st.integers(1, 12)) for value in values}
    tolerance = draw(st.integers(0, 3))
    return values, choices, (no_dearer(costs, tolerance), dearer(costs, tolerance))


def no_dearer(costs, tolerance=0):
    return lambda wider, narrower: costs[wider] <= costs[narrower] + tolerance


def dearer(costs, tolerance=0):
    return lambda wider, narrower: costs[wider] > costs[narrower] + tolerance


@given(problems())
def test_each_choice_has_a_value_at_least_as_wide_at_no_more_cost(problem):
    values, choices, (dominates, dearer) = problem
    verdicts = decide(values, choices, dominates, dearer)
    assert [each.value for each in verdicts] == values
    left = taken(verdicts)
    assert left
    for each in verdicts:
        assert (each.value in choices) == (each.outcome in (KEPT, DROPPED))
        if each.outcome == DROPPED:
            assert each.by in left
            assert each.by > each.value
            assert dominates(each.by, each.value)


@given(problems())
def test_nothing_is_dropped_that_no_wider_value_dominates(problem):
    values, choices, (dominates, dearer) = problem
    left = taken(decide(values, choices, dominates, dearer))
    for value in choices:
        if not any(dominates(other, value) for other in values if other > value):
            assert value in left


@given(problems())
def test_what_is_kept_is_dominated_by_nothing_that_was_there(problem):
    values, choices, (dominates, dearer) = problem
    left = taken(decide(values, choices, dominates, dearer))
    for value in left:
        assert not any(dominates(other, value) for other in left if other > value and other in choices)


@given(problems())
def test_shaping_what_was_shaped_drops_nothing_that_was_measured_as_dearer(problem):
    """Without new values a second time changes nothing: the noise does not eat a space bit by bit."""
    values, choices, (dominates, dearer) = problem
    once = list(taken(decide([v for v in values if v in choices], choices, dominates, dearer)))
    assert list(taken(decide(once, once, dominates, dearer))) == once


@given(problems())
def test_the_widest_new_value_that_costs_no_more_is_the_one_that_is_added(problem):
    values, choices, (dominates, dearer) = problem
    for each in decide(values, choices, dominates, dearer):
        if each.outcome != DROPPED:
            continue
        wider = [value for value in values if value > each.by and value not in choices and dominates(value, each.value)]
        for value in wider:  # only one that a choice that was kept beats may be passed over
            assert any(dominates(kept, value) for kept in values if kept > value)


def test_steps_too_small_to_see_do_not_add_up():
    costs = {40: 104, 30: 102, 20: 100}  # each within two of the next
    verdicts = decide([40, 30, 20], {40, 30, 20}, no_dearer(costs, 2), dearer(costs, 2))
    assert [each.outcome for each in verdicts] == [KEPT, DROPPED, KEPT]


def test_a_new_value_that_replaces_nothing_is_not_taken():
    costs = {32: 3, 24: 2, 16: 1}
    verdicts = decide([32, 24, 16], {32, 16}, no_dearer(costs), dearer(costs))
    assert [each.outcome for each in verdicts] == [KEPT, NOT_TAKEN, KEPT]
    costs = {224: 1, 220: 1}
    verdicts = decide([224, 220], {220}, no_dearer(costs), dearer(costs))
    assert [(each.value, each.outcome, each.by) for each in verdicts] == [(224, ADDED, None), (220, DROPPED, 224)]


def test_a_new_value_that_is_had_for_less_comes_beside_the_widest_of_the_same_cost():
    """As OpenVINO has it in int8: 240 costs what 220 does, and 224 less than both."""
    costs = {240: 100, 224: 97, 220: 100}
    verdicts = decide([240, 224, 220], {240, 220}, no_dearer(costs), dearer(costs))
    assert [(each.value, each.outcome, each.by) for each in verdicts] == [
        (240, KEPT, None),
        (224, ADDED, None),
        (220, DROPPED, 240),
    ]
    verdicts = decide([240, 224, 220], {240, 220}, no_dearer(costs), lambda wider, narrower: False)
    assert [each.outcome for each in verdicts] == [KEPT, NOT_TAKEN, DROPPED]  # the noise leaves it open


@given(problems())
def test_what_is_new_replaces_something_and_is_the_widest_or_had_for_less(problem):
    values, choices, (dominates, dearer) = problem
    verdicts = decide(values, choices, dominates, dearer)
    for new in verdicts:
        if new.outcome == ADDED:
            replaced = [each for each in verdicts if each.outcome == DROPPED and dominates(new.value, each.value)]
            assert replaced
            wider = [each.value for each in verdicts if each.outcome == KEPT and each.value > new.value]
            assert not any(dominates(each, new.value) for each in wider)


@pytest.mark.parametrize(
    ("low", "value", "high", "limit", "found"),
    [
        (0.97, 0.98, 0.99, 1.0, True),
        (0.99, 1.0, 1.01, 1.0, True),
        (1.001, 1.01, 1.02, 1.0, False),  # told apart: it is slower
        (0.8, 1.0, 1.25, 1.0, False),  # tells nothing
        (1.04, 1.05, 1.06, 1.05, True),
        (1.06, 1.07, 1.08, 1.05, False),
    ],
)
def test_what_counts_as_no_more(low, value, high, limit, found):
    assert no_more(Interval(value, low, high), limit) is found
    assert high < 1 + MARGIN or not found or limit > 1
