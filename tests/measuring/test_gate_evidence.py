"""How often the gate and the stated intervals are wrong, on recorded sessions of unchanged networks.

The sessions are real processes, one after the other, on a shared machine of two cores (tests/bench/gate_trials.py
records them). A trial takes five of them at random: two as the baseline, as docs/measuring.md advises, and up to three
that the gate measures. A slowdown is injected by making the samples of one configuration longer.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from resnas_deploy.bench.gate import judge
from resnas_deploy.bench.report import read_report

RECORDED = Path(__file__).parents[2] / "bench" / "results" / "gate-sessions.json"
TRIALS = 500


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("sessions"), []
    for number, document in enumerate(json.loads(RECORDED.read_text())["sessions"]):
        path = folder / f"{number}.json"
        path.write_text(json.dumps(document))
        found.append(read_report(path))
    return found


def joined(first, second):
    """Two sessions as one of twice as many openings."""
    reference = replace(first.reference, samples_s=first.reference.samples_s + second.reference.samples_s)
    pairs = zip(first.measurements, second.measurements, strict=True)
    measurements = tuple(replace(a, samples_s=a.samples_s + b.samples_s) for a, b in pairs)
    return replace(first, reference=reference, measurements=measurements)


def slowed(report, number, factor):
    """The session as if one of its configurations took `factor` times as long."""
    item = report.measurements[number]
    longer = replace(item, samples_s=tuple(tuple(factor * second for second in opening) for opening in item.samples_s))
    return replace(report, measurements=tuple(longer if other is item else other for other in report.measurements))


def trials(sessions, number=0, factor=1.0):
    """Of each trial: which configurations the gate called slower."""
    rng = np.random.default_rng(0)
    for _ in range(TRIALS):
        first, second, *following = (sessions[index] for index in rng.choice(len(sessions), 5, replace=False))
        measured = iter(slowed(session, number, factor) for session in following)
        yield [change.regressed for change in judge(joined(first, second), lambda _, left=measured: next(left))]


def test_unchanged_networks_raise_no_alarm(sessions):
    alarms = np.mean([any(regressed) for regressed in trials(sessions)])
    assert alarms <= 0.01


@pytest.mark.parametrize("number", [0, 1])
def test_five_per_cent_are_caught(sessions, number):
    caught = np.mean([regressed[number] for regressed in trials(sessions, number, 1.05)])
    assert caught >= 0.95


def test_another_run_agrees_within_the_stated_interval(sessions):
    """In 19 of 20 cases, over all pairs of sessions and both configurations."""
    figures = [[item.figured(session.reference.samples_s) for item in session.measurements] for session in sessions]
    agree = [
        1 / (1 + one.repeats_within) <= two.over_reference / one.over_reference <= 1 + one.repeats_within
        for first, second in permutations(figures, 2)
        for one, two in zip(first, second, strict=True)
    ]
    assert np.mean(agree) >= 0.95
