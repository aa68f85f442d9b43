"""A plan run on this machine: figures, conditions, and what else was asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.made_up_measuring import Fake, plan

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.measuring.extras import KINDS, Extras
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.machine.energy import Meters
from resnas_deploy.measuring.machine.roofline import Ceilings
from resnas_deploy.measuring.measure import device_of, measure
from resnas_deploy.measuring.measurement import HOST
from resnas_deploy.measuring.report import read_report
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import RUNNERS

OUT = RuntimeError("std::bad_alloc")


@pytest.fixture(scope="module")
def network(mini_artifact):
    return open_artifact(mini_artifact)


@pytest.fixture
def all_extras(cache_home, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    return Extras(energy=True, shares=True, ceilings=True)


@pytest.fixture(autouse=True)
def little_energy(monkeypatch, small_reference):
    """Meters that this machine may have are not what is tested here."""
    monkeypatch.setattr("resnas_deploy.measuring.measure.find_meters", lambda gpu: Meters())


def test_a_real_run(network, all_extras, tmp_path):
    report = measure(plan(network, RUNNERS["ort-cpu"], streams=(1, 2)), all_extras)
    assert report.machine == this_machine(usable_cores())
    assert report.conditions.seconds > 0
    assert not report.interrupted
    assert f"{usable_cores()} cores" in report.reference.name
    assert [(m.configuration.batch, m.configuration.streams) for m in report.measurements] == [
        (1, 1),
        (2, 1),
        (1, 2),
        (2, 2),
    ]
    for item in report.measurements:
        figures = item.figures
        assert 0 < figures.p50_ms <= figures.p90_ms <= figures.p99_ms
        assert figures.images_per_second == pytest.approx(item.throughput)
        assert figures.over_reference_low <= figures.over_reference <= figures.over_reference_high
        assert figures.repeats_within > 0
        assert item.ceiling_ms > 0
        assert item.ceiling_from == "made up"
        assert (item.shares is not None) == (item.configuration.streams == 1)
    report.write(tmp_path / "a.json")
    assert read_report(tmp_path / "a.json") == report
    assert json.loads((tmp_path / "a.json").read_text())["conditions"]["cores"] == usable_cores()


def test_the_ceiling_is_of_all_images_of_a_sample(network, all_extras):
    report = measure(plan(network, RUNNERS["ort-cpu"], streams=(1, 2), batches=(2,)), all_extras)
    one, two = report.measurements
    assert two.ceiling_ms == pytest.approx(one.ceiling_ms * two.configuration.images / one.configuration.images)


def test_nothing_beside_the_times_unless_asked_for(network):
    report = measure(plan(network, Fake().kind()), Extras())
    assert [(m.shares, m.ceiling_ms, m.energy) for m in report.measurements] == [(None, None, ())] * 2


def test_shares_that_do_not_fit_are_left_out(network):
    fake = Fake({("profile", 1): [OUT]})
    report = measure(plan(network, fake.kind()), Extras(shares=True))
    assert report.measurements[0].shares is None
    assert report.measurements[1].shares == {kind: {"stem": 0.25, "MLP": 0.75}.get(kind, 0) for kind in KINDS}


def test_what_did_not_fit_has_neither_shares_nor_ceiling(network, all_extras):
    fake = Fake({("step", 2): [OUT]})
    report = measure(plan(network, fake.kind()), all_extras)
    lost = report.measurements[1]
    assert (lost.failure, lost.shares, lost.ceiling_ms, lost.figures) == ("out of memory", None, None, None)


class Foreign:
    """A network that is none of ours."""

    arch = None

    def __init__(self, network):
        self._network = network

    def __getattr__(self, name):
        return getattr(self._network, name)


def test_a_network_of_others_has_no_ceiling(network, all_extras):
    report = measure(plan(Foreign(network), Fake().kind()), all_extras)
    assert [item.ceiling_ms for item in report.measurements] == [None, None]


@pytest.mark.parametrize("what", ["shares", "ceilings"])
def test_an_interrupt_after_the_rounds_keeps_the_samples(network, what, all_extras, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    fake = Fake({("profile", 2): [KeyboardInterrupt()]} if what == "shares" else {})
    if what == "ceilings":
        monkeypatch.setattr(Ceilings, "of", interrupt)
    report = measure(plan(network, fake.kind()), all_extras)
    assert report.interrupted
    assert [len(m.samples_s) for m in report.measurements] == [2, 2]
    assert all(item.figures for item in report.measurements)


def test_an_interrupt_in_the_rounds_leaves_the_rest_out(network, all_extras):
    fake = Fake({("step", 2): [None] * 8 + [KeyboardInterrupt()], ("profile", 1): [AssertionError()]})
    report = measure(plan(network, fake.kind(), runs=20), all_extras)
    assert report.interrupted
    assert all(item.shares is None for item in report.measurements)


def test_the_device_is_the_first_gpu_or_the_processor(network):
    gpu = replace(Fake().kind("gpu"), devices=("cpu", "cuda"), usual="cuda:1")
    assert device_of(plan(network, Fake().kind())) == "cpu"
    assert device_of(plan(network, Fake().kind(), gpu)) == "cuda:1"
    assert measure(plan(network, Fake().kind()), Extras()).measurements[0].configuration.latency == HOST
