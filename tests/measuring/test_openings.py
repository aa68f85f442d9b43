"""Measuring opening by opening: real runtimes, and made-up ones that run out of memory or are interrupted anywhere."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from support.made_up_measuring import Fake, FakeRunner, Work, plan

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.measuring.cases import OUT_OF_MEMORY
from resnas_deploy.measuring.machine.energy import Meters
from resnas_deploy.measuring.measurement import DEVICE, HOST
from resnas_deploy.measuring.openings import measure_openings
from resnas_deploy.runners.registry import RUNNERS

OUT = RuntimeError("std::bad_alloc")


@pytest.fixture(scope="module")
def network(mini_artifact):
    return open_artifact(mini_artifact)


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    monkeypatch.setattr("resnas_deploy.measuring.timing.REST", 0.0)


def measured(wanted, work=None, **options):
    """The outcome; sample i of everything must belong to round i of the reference."""
    outcome = measure_openings(wanted, work or Work(), np.random.default_rng(0), **options)
    rounds = [len(opening) for opening in outcome.reference.samples_s]
    for item in outcome.measurements:
        assert [len(opening) for opening in item.samples_s] == ([] if item.failure else rounds)
        if not item.failure:
            item.figured(outcome.reference.samples_s)
    return outcome


def rows(outcome):
    return [(m.configuration.runner, m.configuration.batch, m.failure) for m in outcome.measurements]


def test_every_network_on_every_runner_at_every_batch_size(network):
    told = []
    kinds = (RUNNERS["ort-cpu"], RUNNERS["openvino"])
    outcome = measured(plan(network, *kinds, runs=3), progress=told.append)
    assert rows(outcome) == [(kind.name, batch, None) for kind in kinds for batch in (1, 2)]
    assert [len(opening) for opening in outcome.reference.samples_s] == [2, 1]
    assert outcome.reference.name == "nothing"
    assert not outcome.interrupted
    for item in outcome.measurements:
        assert all(0 < second < 10 for opening in item.samples_s for second in opening)
        assert item.warm_up >= 12  # six in each opening
    assert told[0] == f"opening 1 of 2, loading {network.label} on ort-cpu"
    assert told[1] == f"opening 1 of 2, first run of {network.label} on ort-cpu, batch 1"
    assert told[-1] == "opening 2 of 2, round 1 of 1, each of 5 configurations"


def test_every_opening_opens_and_closes(network):
    fake = Fake()
    measured(plan(network, fake.kind(), runs=3, openings=3))
    assert fake.log == ["open", "close"] * 3


def test_a_batch_that_does_not_fit(network):
    fake = Fake({("step", 2): [OUT]})
    outcome = measured(plan(network, fake.kind(), batches=(1, 2, 4)))
    assert rows(outcome) == [("fake", 1, None), ("fake", 2, OUT_OF_MEMORY), ("fake", 4, None)]
    assert outcome.measurements[1].configuration.version == "fake 1.0"


def test_a_network_that_does_not_load(network):
    outcome = measured(plan(network, Fake({"load": [MemoryError()]}).kind(), Fake().kind("other")))
    assert rows(outcome) == [
        ("fake", 1, OUT_OF_MEMORY),
        ("fake", 2, OUT_OF_MEMORY),
        ("other", 1, None),
        ("other", 2, None),
    ]
    assert outcome.measurements[0].configuration.version == ""


def test_nothing_fits(network):
    outcome = measured(plan(network, Fake({"load": [OUT]}).kind(), openings=2))
    assert [failure for _, _, failure in rows(outcome)] == [OUT_OF_MEMORY] * 2
    assert [len(opening) for opening in outcome.reference.samples_s] == [2, 2]


@pytest.mark.parametrize("what", ["load", "first step"])
def test_a_later_opening_that_runs_out(network, what):
    events = {"load": [None, OUT]} if what == "load" else {("step", 2): [None] * 9 + [OUT]}
    fake = Fake(events)
    outcome = measured(plan(network, fake.kind(), runs=6, openings=3))
    lost = [1, 2] if what == "load" else [2]
    assert rows(outcome) == [("fake", batch, OUT_OF_MEMORY if batch in lost else None) for batch in (1, 2)]


@pytest.mark.parametrize("at", [3, 8, 15, 30])
def test_running_out_in_the_middle_of_the_rounds(network, at):
    """Later than the first run: in the warm-up, or among the samples."""
    outcome = measured(plan(network, Fake({("step", 2): [None] * at + [OUT]}).kind(), runs=20))
    assert rows(outcome)[0] == ("fake", 1, None)
    assert rows(outcome)[1] == ("fake", 2, OUT_OF_MEMORY)
    assert sum(len(opening) for opening in outcome.measurements[0].samples_s) == 20


def test_rows_of_a_device_are_lost_with_the_host_s(network):
    """The second opening has no step of the host, and so none of the device."""
    fake = Fake({("step", 1): [None] * 9 + [OUT]}, on_device=True)
    outcome = measured(plan(network, fake.kind(), batches=(1,)))
    found = {m.configuration.latency: m.failure for m in outcome.measurements}
    assert found[HOST] == OUT_OF_MEMORY
    assert set(found) == {HOST, DEVICE}


def test_a_device_that_runs_out_in_a_later_opening(network):
    fake = Fake({("device", 1): [None, OUT]}, on_device=True)
    outcome = measured(plan(network, fake.kind(), batches=(1, 2)))
    assert [(m.configuration.batch, m.configuration.latency, m.failure) for m in outcome.measurements] == [
        (1, HOST, OUT_OF_MEMORY),
        (1, DEVICE, OUT_OF_MEMORY),
        (2, HOST, None),
        (2, DEVICE, None),
    ]


def test_rows_of_a_device_are_the_device_s_seconds(network):
    outcome = measured(plan(network, Fake(on_device=True).kind(), batches=(1,)))
    assert outcome.measurements[1].samples_s == ((0.5, 0.5), (0.5, 0.5))


@pytest.mark.parametrize("events", [{"load": [KeyboardInterrupt()]}, {("step", 2): [KeyboardInterrupt()]}])
def test_an_interrupt_before_the_first_round(network, events):
    outcome = measured(plan(network, Fake(events).kind()))
    assert outcome.interrupted
    assert (outcome.measurements, outcome.reference.samples_s) == ((), ())


def test_an_interrupt_in_the_rounds(network):
    """The reference fails after every step of the warm-up and of two rounds of the second opening."""
    work = Work(at=10**9)
    fake = Fake()

    def tell(text):
        if text.startswith("opening 2 of 2, round 3"):
            work.at = work.calls + 1

    outcome = measured(plan(network, fake.kind(), runs=10), work, progress=tell)
    assert outcome.interrupted
    assert [len(opening) for opening in outcome.reference.samples_s] == [5, 2]
    assert rows(outcome) == [("fake", 1, None), ("fake", 2, None)]
    assert fake.log == ["open", "close"] * 2


@pytest.mark.parametrize("text", ["loading", "first run", "warm-up", "round 1"])
def test_an_interrupt_in_the_second_opening_keeps_the_first(network, text):
    def tell(said):
        if said.startswith(f"opening 2 of 2, {text}"):
            raise KeyboardInterrupt

    fake = Fake()
    outcome = measured(plan(network, fake.kind()), progress=tell)
    assert outcome.interrupted
    assert [len(opening) for opening in outcome.reference.samples_s] == [2]
    assert rows(outcome) == [("fake", 1, None), ("fake", 2, None)]
    assert fake.log.count("open") == fake.log.count("close")


def test_an_interrupt_keeps_what_is_known_to_fail(network):
    fake = Fake({("step", 1): [OUT], ("step", 2): [KeyboardInterrupt()]})
    outcome = measured(plan(network, fake.kind()))
    assert outcome.interrupted
    assert rows(outcome) == [("fake", 1, OUT_OF_MEMORY)]


def test_other_errors_are_not_passed_over(network):
    with pytest.raises(RuntimeError, match="device lost"):
        measured(plan(network, Fake({("step", 2): [None] * 5 + [RuntimeError("device lost")]}).kind()))


class Meter:
    name = "a meter"

    def __init__(self):
        self.joule = 0.0

    def joules(self):
        self.joule += 6.0
        return self.joule


def test_energy_of_each_case_of_the_host_once(network):
    meters = Meters((Meter(),), least_seconds=0.0)
    outcome = measured(plan(network, Fake(on_device=True).kind(), openings=2), meters=meters)
    for item in outcome.measurements:
        assert len(item.energy) == (item.configuration.latency == HOST)
    assert outcome.measurements[0].energy[0].joules_per_image == pytest.approx(6)
    assert outcome.measurements[2].energy[0].joules_per_image == pytest.approx(3)  # of two images


def test_one_opening_is_let_go_before_the_next(network):
    """A step keeps its runtime's memory: none may be left when the same is asked for again."""
    alive = weakref.WeakSet()

    class Kept(FakeRunner):
        def __init__(self, *arguments):
            gc.collect()
            assert not alive
            super().__init__(*arguments)
            alive.add(self)

    fake = Fake()
    kind = replace(fake.kind(), open_network=lambda network, options: Kept(fake, options))
    measured(plan(network, kind, runs=3, openings=3))
    assert fake.log == ["open", "close"] * 3
