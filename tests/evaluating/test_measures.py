"""What answers amount to: against figures worked out by hand, scipy's own intervals, and what always holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from resnas_deploy.evaluating.measures import (
    calibration,
    class_figures,
    confusions,
    paired,
    share_of,
    wilson,
)

LABELS = np.array([0, 0, 0, 0, 1, 1, 2])
ANSWERS = np.array([0, 0, 1, 3, 1, 1, 1])
MANY = st.integers(1, 40)


def test_wilson_by_hand():
    """Of 10 with 8 right: (0.8 + 0.192073 -+ 1.959964 sqrt(0.016 + 0.009604)) / 1.384146."""
    low, high = wilson(8, 10)
    assert (low, high) == pytest.approx((0.490162, 0.943318), abs=1e-6)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0
    assert str(share_of(8, 10)) == "80.00% (49.02% to 94.33%)"


@given(st.data(), MANY)
def test_wilson_is_scipys(data, images):
    count = data.draw(st.integers(0, images))
    found = binomtest(count, images).proportion_ci(0.95, method="wilson")
    assert wilson(count, images) == pytest.approx((found.low, found.high), abs=1e-9)


def test_classes_by_hand():
    found = class_figures(LABELS, ANSWERS, 5)
    assert [(each.number, each.support, each.right, each.answered) for each in found] == [
        (2, 1, 0, 0),
        (0, 4, 2, 2),
        (1, 2, 2, 4),
        (3, 0, 0, 1),  # of which there are no images: last
    ]
    assert [(each.recall, each.precision) for each in found] == [(0, None), (0.5, 1), (1, 0.5), (None, 0)]


def test_confusions_by_hand():
    found = confusions(LABELS, ANSWERS, 5)
    assert [(each.label, each.answer, each.images) for each in found] == [(0, 1, 1), (0, 3, 1), (2, 1, 1)]
    twice = confusions(np.array([3, 0, 3]), np.array([1, 1, 1]), 4)
    assert [(each.label, each.answer, each.images) for each in twice] == [(3, 1, 2), (0, 1, 1)]
    assert confusions(LABELS, LABELS, 3) == ()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=60))
def test_classes_and_confusions_add_up(pairs):
    labels, answers = map(np.array, zip(*pairs, strict=True))
    classes, pairs = class_figures(labels, answers, 6), confusions(labels, answers, 6)
    right = int((labels == answers).sum())
    assert sum(each.right for each in classes) == right
    assert sum(each.support for each in classes) == sum(each.answered for each in classes) == len(labels)
    assert sum(each.images for each in pairs) == len(labels) - right
    recalls = [each.recall for each in classes if each.recall is not None]
    assert recalls == sorted(recalls)


def test_calibration_by_hand():
    """Four bins: (0, 1/4] has 0.25 of one wrong, (1/2, 3/4] a right and a wrong of 0.6, (3/4, 1] two right of 0.9."""
    confidence = np.array([0.25, 0.6, 0.6, 0.9, 0.9])
    found = calibration(confidence, np.array([False, True, False, True, True]), 4)
    assert [each.images for each in found.bins] == [1, 0, 2, 2]
    assert [each.accuracy for each in found.bins] == [0, None, 0.5, 1]
    assert found.bins[2].confidence == pytest.approx(0.6)
    assert found.error == pytest.approx((0.25 + 2 * 0.1 + 2 * 0.1) / 5)


def test_an_edge_belongs_to_the_bin_below_it():
    """Guo et al. 2017: ((m-1)/M, m/M]; what is 0, as no answer's probability is, to the first."""
    found = calibration(np.array([0.0, 0.5, 0.5000001, 1.0]), np.ones(4, bool), 2)
    assert [each.images for each in found.bins] == [2, 2]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_calibration_is_a_share(answers):
    confidence, right = (np.array(values) for values in zip(*answers, strict=True))
    found = calibration(confidence, right)
    assert 0 <= found.error <= 1
    assert len(found.bins) == 15
    assert sum(each.images for each in found.bins) == len(answers)
    assert found.error >= abs(confidence.mean() - right.mean()) - 1e-12  # bins can only add to it


def test_pairs_by_hand():
    """10 alone right of the first, 2 of the second, of 100: p = 2 (1 + 12 + 66) / 4096."""
    first = np.array([True] * 60 + [True] * 10 + [False] * 2 + [False] * 28)
    second = np.array([True] * 60 + [False] * 10 + [True] * 2 + [False] * 28)
    found = paired(first, second)
    assert (found.both, found.first_alone, found.second_alone) == (60, 10, 2)
    assert found.difference == pytest.approx(0.08)
    assert found.p == pytest.approx(2 * 79 / 4096)
    shares = 11 / 102, 3 / 102
    away = 1.959964 * ((sum(shares) - (shares[0] - shares[1]) ** 2) / 102) ** 0.5
    assert (found.low, found.high) == pytest.approx((8 / 102 - away, 8 / 102 + away), abs=1e-6)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_pairs_are_mirrored(pairs):
    first, second = (np.array(values) for values in zip(*pairs, strict=True))
    one, other = paired(first, second), paired(second, first)
    assert one.difference == -other.difference
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.p == other.p == pytest.approx(_mcnemar(one.first_alone, one.second_alone))
    assert one.low <= one.high


def _mcnemar(first, second):
    return binomtest(first, first + second).pvalue if first + second else 1.0
