"""How often the gate and the stated intervals are wrong, on recorded sessions of real networks.

The sessions are real processes, one after the other, on a shared machine of two cores (benchmarks/gate_trials.py
records them). A trial takes five of them at random: two as the baseline, as docs/measuring.md advises, and up to three
that the gate measures. A slowdown is injected by making the samples of one configuration longer, or it is a real one:
the sessions of a network with one block more.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from support.places import RESULTS

from resnas_deploy.measuring.gate import judge
from resnas_deploy.measuring.report import read_report

RECORDED = RESULTS / "gate-sessions.json"
TRIALS, FEW = 500, 100
few_and_many = pytest.mark.parametrize("trials", [FEW, pytest.param(TRIALS, marks=pytest.mark.slow)])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Reports by what was measured: `sessions` of the unchanged network, and those of a `slower` one."""
    path = tmp_path_factory.mktemp("sessions") / "session.json"

    def report(document):
        path.write_text(json.dumps(document))
        return read_report(path)

    documents = json.loads(RECORDED.read_text())
    return {name: [report(document) for document in documents[name]] for name in ("sessions", "slower")}


@pytest.fixture(scope="module")
def sessions(recorded):
    return recorded["sessions"]


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


def drawn(sessions, trials):
    """The sessions of each trial."""
    rng = np.random.default_rng(0)
    return ([sessions[index] for index in rng.choice(len(sessions), 5, replace=False)] for _ in range(trials))


def regressed(baseline, following):
    """Which configurations the gate calls slower."""
    measured = iter(following)
    return [change.regressed for change in judge(joined(*baseline), lambda _: next(measured))]


@few_and_many
def test_unchanged_networks_raise_no_alarm(sessions, trials):
    alarms = np.mean([any(regressed(trial[:2], trial[2:])) for trial in drawn(sessions, trials)])
    assert alarms <= 0.01


@few_and_many
@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_five_per_cent_are_caught(sessions, number, trials):
    caught = np.mean(
        [
            regressed(trial[:2], [slowed(session, number, 1.05) for session in trial[2:]])[number]
            for trial in drawn(sessions, trials)
        ]
    )
    assert caught >= 0.95


@few_and_many
@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_network_that_is_really_slower_is_caught(recorded, number, trials):
    pairs = zip(drawn(recorded["sessions"], trials), drawn(recorded["slower"], trials), strict=True)
    caught = np.mean([regressed(trial[:2], slower[2:])[number] for trial, slower in pairs])
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
