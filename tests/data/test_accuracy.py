"""Chance: what always answering the most frequent class gets right, and what is better beyond doubt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from support.checks import refusal

from resnas_deploy.data.accuracy import (
    LEAST_OTHERS,
    SIGNIFICANCE,
    beats_chance,
    chance_of,
    check_telling,
    exchanged,
    is_more,
)


def labels(*counts):
    return np.repeat(np.arange(len(counts)), counts)


def answers(truth, share, classes, rng):
    """Of a network that knows the class of that share of the images and guesses the others."""
    return np.where(rng.random(len(truth)) < share, truth, rng.integers(0, classes, len(truth)))


@given(st.integers(0, 60), st.integers(0, 60))
def test_it_is_the_sign_test(gained, lost):
    wanted = gained > 0 and binomtest(gained, gained + lost, 0.5, "greater").pvalue <= SIGNIFICANCE
    assert is_more(gained, lost) == wanted


@pytest.mark.parametrize("counts", [(100,) * 10, (900, 50, 50), (30, 270), (3,) * 100])
def test_one_answer_for_all_is_chance(counts):
    truth = labels(*counts)
    for answer in range(len(counts)):
        assert not beats_chance(truth, truth == answer)


@pytest.mark.parametrize("counts", [(100,) * 10, (900, 50, 50), (30, 270), (3,) * 100])
def test_guesses_are_chance_and_knowledge_is_not(counts):
    truth, rng = labels(*counts), np.random.default_rng(0)
    guesses = [beats_chance(truth, answers(truth, 0, len(counts), rng) == truth) for _ in range(300)]
    assert sum(guesses) <= 3
    assert all(beats_chance(truth, answers(truth, 0.97, len(counts), rng) == truth) for _ in range(30))


def test_chance_is_the_share_of_the_most_frequent_class():
    """85 % are no knowledge where nine of ten images are of one class, and are where classes are as frequent."""
    chance = chance_of(labels(900, 50, 50))
    assert (chance.number, chance.count, chance.images, chance.share) == (0, 900, 1000, 0.9)
    truth = labels(900, 50, 50)
    right = np.r_[np.ones(850, bool), np.zeros(150, bool)]
    assert not beats_chance(truth, right)
    assert beats_chance(labels(334, 333, 333), right)


def test_too_few_images_show_nothing():
    truth = labels(5, 9)
    assert not beats_chance(labels(9), np.ones(9, bool))
    assert not beats_chance(truth, np.ones(14, bool))
    assert beats_chance(labels(10, LEAST_OTHERS), np.ones(20, bool))
    names = ("cat", "dog")
    check_telling(labels(10, LEAST_OTHERS), names, "x")
    message = refusal(lambda: check_telling(labels(10, LEAST_OTHERS - 1), names, "the validation split"))
    assert message == (
        "the validation split must have at least 10 images of other classes than its most frequent one, or accuracy "
        "cannot be told from chance, found 9 beside 10 of 'cat'; add some"
    )
    assert "found 0 beside 50 of 'dog'" in refusal(lambda: check_telling(labels(0, 50), names, "x"))


@given(st.permutations(range(6)))
def test_classes_in_another_order_are_seen(order):
    truth, rng = labels(*(40,) * 6), np.random.default_rng(0)
    found = np.array(order)[answers(truth, 0.95, 6, rng)]
    ring = exchanged(truth, found, 6)
    assert bool(ring) == (list(order) != list(range(6)))
    for one, other in zip(ring, ring[1:] + ring[:1], strict=True):
        assert order[one] == other


def test_weak_and_one_sided_mistakes_are_no_exchange():
    truth, rng = labels(*(40,) * 6), np.random.default_rng(0)
    for _ in range(50):
        assert exchanged(truth, answers(truth, 0.1, 6, rng), 6) == ()
    assert exchanged(truth, np.where(truth == 3, 2, truth), 6) == ()  # all of one class are taken for another
    assert exchanged(truth, np.zeros_like(truth), 6) == ()
    assert exchanged(labels(3, 3), 1 - labels(3, 3), 2) == ()  # too few to say
