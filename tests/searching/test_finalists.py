"""Which finalist wins: the most accurate one, as it is exported, of those that keep the limits as measured."""

from __future__ import annotations

from support.made_up_measuring import measurement
from support.small_data import SPACE

from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.finalists import Finalist, winner
from resnas_deploy.searching.found import ExportedAccuracy

FIGURES = measurement([[0.002] * 3])


def finalist(correct, *, cost=1.0, exported=None, share=0.9, measured=FIGURES):
    candidate = Candidate(SPACE.narrowest(), Score(correct, 100), (cost,), 0)
    accuracy = None if exported is None else ExportedAccuracy(exported, 100, "ort-cpu")
    return Finalist(candidate, None, measured, accuracy, share)


def test_the_most_accurate_wins_and_of_equals_the_cheaper():
    dear, cheap, worse = finalist(80), finalist(80, cost=0.5), finalist(70, cost=0.1)
    assert winner([dear, cheap, worse]) is cheap


def test_quantised_the_artifacts_own_accuracy_counts():
    rounded_badly, better = finalist(80, exported=60), finalist(75, exported=74)
    assert winner([rounded_badly, better]) is better
    assert (rounded_badly.accuracy, better.accuracy) == (0.6, 0.74)


def test_what_exceeds_a_limit_or_was_not_measured_does_not_win():
    beyond, failed = finalist(90, share=1.01), finalist(90, measured=measurement((), failure="no memory"), share=9.0)
    waiting, kept = finalist(90, measured=None), finalist(50, share=1.0)
    assert winner([beyond, failed, waiting, kept]) is kept
    assert winner([beyond, failed, waiting]) is None
    assert (waiting.failure, failed.failure, kept.failure) == ("not measured", "no memory", "")
    assert (waiting.measured_ms, failed.measured_ms, kept.measured_ms) == (None, None, 2.0)
