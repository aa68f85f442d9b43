"""What a baseline holds, opened and planned again."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from support.checks import refusal
from support.made_up_measuring import MACHINE, configuration, counted_steps, measurement, report

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.measuring.baseline import (
    baseline_file,
    configurations_here,
    configurations_of,
    opened_networks,
    plan_again,
)
from resnas_deploy.measuring.cases import open_cases
from resnas_deploy.measuring.gate import comparison_key
from resnas_deploy.measuring.plan import Effort
from resnas_deploy.progress import silent

FILE = Path("baseline.json")
TWICE = ((1.0, 1.0), (1.0, 1.0))
QUICK = Effort(runs=4, openings=2)


@pytest.fixture
def known(mini_artifact):
    """A function: a configuration of the mini artifact."""
    network = open_artifact(mini_artifact)

    def make(**changes):
        return configuration(source=network.source, label=network.label, **changes)

    return make


def opened(configurations, folders=()):
    with opened_networks(configurations, folders, silent) as networks:
        return dict(networks)


def test_a_file_is_itself_there_or_not(tmp_path):
    assert baseline_file(tmp_path / "none.json", MACHINE) == tmp_path / "none.json"


def test_a_folder_has_one_for_each_machine(tmp_path):
    path = tmp_path / f"{MACHINE.slug}.json"
    message = refusal(lambda: baseline_file(tmp_path, MACHINE))
    assert "must hold a baseline of this machine, found none; make one by: " in message
    assert message.endswith(f"`bench(artifacts='..', runs=120, openings=12, out={str(path)!r})`")
    (tmp_path / "other.json").touch()
    assert "found other.json;" in refusal(lambda: baseline_file(tmp_path, MACHINE))
    path.touch()
    assert baseline_file(tmp_path, MACHINE) == path
    told = replace(MACHINE, instructions="AVX512-VNNI")
    assert baseline_file(tmp_path, told) == path  # of before its instruction set was told
    (own := tmp_path / f"{told.slug}.json").touch()
    assert baseline_file(tmp_path, told) == own


def test_what_a_baseline_has_figures_of():
    found = configurations_of(
        report(measurement(TWICE), measurement(TWICE, batch=2), measurement((), failure="out of memory", batch=4)), FILE
    )
    assert [item.batch for item in found] == [1, 2]


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        (report(), "must hold at least one measurement, found none"),
        (report(measurement((), failure="out of memory")), "must hold at least one measurement, found none"),
        (report(measurement(((1.0, 1.0),))), "must be of at least 2 openings, found 1"),
        (report(measurement(TWICE), measurement(TWICE, source="b")), "each configuration once, found label, ort-cpu"),
    ],
)
def test_what_cannot_be_compared_with(baseline, words):
    message = refusal(lambda: configurations_of(baseline, FILE))
    assert message.startswith("baseline.json must")
    assert words in message


def test_networks_from_their_sources_or_from_folders(known, mini_artifact, tmp_path):
    label = known().label
    assert opened([known(batch=1), known(batch=2)])[label][0].source == str(mini_artifact)
    copy = shutil.copytree(mini_artifact, tmp_path / "copy")
    assert opened([known()], [copy])[label][0].source == str(copy)


def test_networks_that_are_not_the_baselines(known, mini_artifact, untrained_artifact, tmp_path):
    message = refusal(lambda: opened([known()], [untrained_artifact()]))
    assert f"of which {known().label!r} is missing, found 'test fp32 112" in message
    copy = shutil.copytree(mini_artifact, tmp_path / "copy")
    message = refusal(lambda: opened([known()], [mini_artifact, copy]))
    assert f"labels of their own, found {known().label!r} at {mini_artifact} and {copy}" in message


@pytest.mark.parametrize("source", ["gone", "", "x" * 5000, "\0", "a\nb"])
def test_a_source_that_is_no_artifact(source):
    with pytest.raises(BadInput):
        opened([configuration(source=source)])


@pytest.mark.parametrize(
    ("total", "streams"), [(2, (1,)), (1, (1, 2)), (2, (1, 2)), (3, (2,)), (3, (2, 4)), (8, (1, 3, 5)), (1, (4,))]
)
def test_threads_are_divided_as_before(known, total, streams):
    there = [known(threads=max(1, total // number), streams=number) for number in streams]
    plan = plan_again(there, opened(there), QUICK)
    assert [max(1, plan.threads // number) for number in streams] == [item.threads for item in there]


def test_the_same_is_measured_again(known):
    """Whatever the sizes and runners: every configuration of before is among those of the plan."""
    there = [
        known(batch=1),
        known(batch=8, runner="openvino"),
        known(batch=2, streams=2, threads=1),
        known(batch=1, runner="torch"),
    ]
    plan = plan_again(there, opened(there), QUICK)
    assert (plan.runs, plan.openings, plan.threads) == (4, 2, 2)
    assert {comparison_key(item) for item in there} <= {comparison_key(item) for item in configurations_here(plan)}


def test_runners_stay_on_the_baselines_device(known):
    there = [known(runner="torch", device="cuda:0 NVIDIA L4"), known(runner="torch")]
    try:
        plan = plan_again(there, opened(there), QUICK)
    except NotAvailable:  # no GPU here
        plan = plan_again(there[1:], opened(there[1:]), QUICK)
        assert plan.subjects[0].kind.device("") == "cpu"
    else:
        assert [subject.kind.device("") for subject in plan.subjects] == ["cuda:0", "cpu"]


def test_an_unknown_runner(known):
    there = [known(runner="tpu")]
    assert "a runner must be one of" in refusal(lambda: plan_again(there, opened(there), QUICK))


def test_what_runs_here_is_run_once_and_not_timed(known, monkeypatch):
    """Each case once as it is opened, where timing would call it many times over."""
    steps = counted_steps(monkeypatch)
    plan = plan_again([known()], opened([known()]), QUICK)
    (found,) = configurations_here(plan)
    assert len(steps) == 1
    with ExitStack() as stack:
        assert found == next(iter(open_cases(plan, frozenset(), stack))).configuration
