"""Opening what a plan measures: real runtimes, and made-up ones that run out of memory."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace

import pytest
from support.made_up_measuring import Fake, plan

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.measuring.cases import BATCHES, Case, Streams, open_cases, open_sessions
from resnas_deploy.measuring.measurement import DEVICE, HOST
from resnas_deploy.runners.registry import RUNNERS

OUT = RuntimeError("std::bad_alloc")


@pytest.fixture(scope="module")
def network(mini_artifact):
    return open_artifact(mini_artifact)


def opened(wanted, without=frozenset()):
    """`(case, whether it can be timed)` of every case."""
    with ExitStack() as stack:
        return [(ready.case, bool(ready.step)) for ready in open_cases(wanted, without, stack)]


def host(batch, subject=0, streams=1):
    return Case(subject, streams, batch, 2 // streams, HOST)  # of a plan's two threads


def test_what_is_timed_is_described(network):
    kinds = (RUNNERS["ort-cpu"], RUNNERS["openvino"])
    with ExitStack() as stack:
        ready = list(open_cases(plan(network, *kinds, streams=(1, 2)), frozenset(), stack))
        assert all(0 < item.step() < 10 for item in ready)
    assert len(ready) == 8
    for item, found in ((item, item.configuration) for item in ready):
        assert found.runner == kinds[item.case.subject].name
        assert (found.source, found.label, found.digest) == (network.source, network.label, network.digest)
        assert found.version.split()[0] in ("onnxruntime", "openvino")
        assert (found.batch, found.streams, found.latency) == (item.case.batch, item.case.streams, HOST)
        assert found.threads == 2 // item.case.streams
        assert found.images == item.case.batch * (1 if item.case.streams == 1 else 2 * BATCHES)
        assert f"{found.threads} threads" in found.boundary


def test_a_network_that_does_not_load(network):
    fake, other = Fake({"load": [OUT]}), Fake()
    found = opened(plan(network, fake.kind(), other.kind("other")))
    assert found == [(host(1), False), (host(2), False), (host(1, 1), True), (host(2, 1), True)]


def test_the_second_of_two_streams_does_not_load(network):
    fake = Fake({"load": [None, OUT]})
    assert opened(plan(network, fake.kind(), streams=(2,), batches=(1,))) == [(host(1, streams=2), False)]
    assert fake.log == ["open", "open", "close"]  # the first is closed with the rest


def test_one_batch_of_several_does_not_fit(network):
    fake = Fake({("step", 2): [OUT]})
    assert opened(plan(network, fake.kind(), batches=(1, 2, 4))) == [
        (host(1), True),
        (host(2), False),
        (host(4), True),
    ]
    assert fake.log == ["open", "close"]


def test_what_is_left_out_is_not_run(network):
    fake = Fake({("step", 2): [AssertionError()]})
    assert opened(plan(network, fake.kind()), {host(2)}) == [(host(1), True)]
    fake = Fake()
    assert opened(plan(network, fake.kind()), {host(1), host(2)}) == []
    assert fake.log == []


@pytest.mark.parametrize("what", ["load", "step"])
def test_other_errors_are_not_passed_over(network, what):
    with pytest.raises(RuntimeError, match="device lost"):
        opened(plan(network, Fake({what: [RuntimeError("device lost")]}).kind()))


def test_a_gpu_has_rows_of_its_own(network):
    with ExitStack() as stack:
        ready = list(open_cases(plan(network, Fake(on_device=True).kind()), frozenset(), stack))
    assert [(item.case.batch, item.case.latency) for item in ready] == [(1, HOST), (1, DEVICE), (2, HOST), (2, DEVICE)]
    assert [item.configuration.boundary for item in ready[:2]] == ["host to host", "device only"]
    assert ready[1].step() == 0.5  # the device's own seconds
    assert ready[0].configuration.latency == HOST


def test_where_the_device_step_does_not_fit_there_is_one_failure(network):
    fake = Fake({("device", 1): [OUT]}, on_device=True)
    assert opened(plan(network, fake.kind(), batches=(1,))) == [(host(1), False)]


def test_streams_run_at_once():
    """Each waits for the other: one after the other they would never end."""
    meet = threading.Barrier(2, timeout=300)
    calls = []

    def step():
        calls.append(threading.get_ident())
        meet.wait()

    streams = Streams([step, step])
    streams()
    streams.close()
    assert len(calls) == 2 * BATCHES
    assert len(set(calls)) == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stream")]


def test_what_a_stream_raises_is_raised():
    def fail():
        raise OUT

    both = Streams([lambda: None, fail])
    with pytest.raises(RuntimeError, match="bad_alloc"):
        both()
    both.close()


def test_real_streams_are_sessions_of_their_own(network, monkeypatch):
    running, most = [], []
    kind = RUNNERS["ort-cpu"]
    meet = threading.Barrier(2, timeout=300)

    def watched(network, options, open_network=kind.open_network):
        runner = open_network(network, options)
        make = runner.step

        def step(images):
            inner, first = make(images), []

            def once():
                running.append(1)
                if threading.current_thread() is not threading.main_thread() and not first:
                    first.append(meet.wait())  # both have begun, in threads of their own
                most.append(len(running))
                inner()
                running.pop()

            return once

        monkeypatch.setattr(runner, "step", step)
        return runner

    wanted = plan(network, replace(kind, open_network=watched), batches=(8,), streams=(2,))
    with ExitStack() as stack:
        (ready,) = open_cases(wanted, frozenset(), stack)
        assert ready.step() > 0
    assert max(most) == 2
    assert ready.configuration.images == 8 * 2 * BATCHES


@pytest.mark.parametrize(("streams", "bound"), [(1, True), (2, False)])
def test_streams_of_openvino_are_not_bound_to_the_same_cores(network, streams, bound):
    with ExitStack() as stack:
        sessions = open_sessions(plan(network, RUNNERS["openvino"], streams=(streams,)), 0, streams, 1, stack)
        for runner in sessions.runners:
            assert runner._request.get_compiled_model().get_property("ENABLE_CPU_PINNING") is bound
