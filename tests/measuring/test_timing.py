"""Interleaved timing with a clock of our own, and the figures that follow from samples."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnas_deploy.bench.machine import Machine, this_machine
from resnas_deploy.bench.measurement import SCHEMA, Measurement, report
from resnas_deploy.bench.timing import REST, interleaved


class Bench:
    """Steps that take a set time on a clock that only they move, and a record of what happened."""

    def __init__(self, seconds):
        self.now = 0.0
        self.events = []
        self.steps = {key: lambda key=key, taken=taken: self.step(key, taken) for key, taken in seconds.items()}

    def step(self, key, taken):
        self.events.append(key)
        self.now += taken() if callable(taken) else taken

    def clock(self):
        return self.now

    def sleep(self, seconds):
        assert seconds == REST
        self.events.append("rest")
        self.now += 1000.0  # which no sample may hold

    def run(self, runs, warm_up, seed=0):
        return interleaved(self.steps, runs, warm_up, np.random.default_rng(seed), self.clock, self.sleep)

    @property
    def calls(self):
        return [event for event in self.events if event != "rest"]

    def rounds(self):
        size = len(self.steps)
        return [tuple(self.calls[start : start + size]) for start in range(0, len(self.calls), size)]


def measurement(samples, batch=1):
    return Measurement("folder", "label", "ab" * 32, "runner", "1.0", "fp32", "host to host", batch, 5, tuple(samples))


@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 4), st.integers(0, 2**32))
def test_every_round_has_each_step_once_and_warm_up_does_not_count(keys, runs, warm_up, seed):
    bench = Bench({key: float(key + 1) for key in range(keys)})
    samples = bench.run(runs, warm_up, seed)
    assert samples == {key: [key + 1.0] * runs for key in range(keys)}
    assert len(bench.rounds()) == runs + warm_up
    assert all(Counter(found) == Counter(range(keys)) for found in bench.rounds())


def test_the_first_calls_are_the_warm_up():
    taken = iter([100.0, 50.0, 3.0, 2.0, 1.0])
    bench = Bench({"a": lambda: next(taken)})
    assert bench.run(runs=3, warm_up=2) == {"a": [3.0, 2.0, 1.0]}


def test_sample_by_sample_the_rounds_belong_together():
    """A machine that slows down slows a round, whatever its order: ratios are taken round by round."""
    bench = Bench({"a": lambda: 1.0 + len(bench.rounds()), "b": lambda: 2.0 * (1.0 + len(bench.rounds()))})
    samples = bench.run(runs=20, warm_up=1)
    assert [b / a for a, b in zip(samples["a"], samples["b"], strict=True)] == [2.0] * 20


def test_a_rest_comes_before_every_step():
    bench = Bench({"a": 1.0, "b": 1.0})
    bench.run(runs=3, warm_up=1)
    assert bench.events[::2] == ["rest"] * 8
    assert "rest" not in bench.events[1::2]


def test_the_order_varies_and_follows_from_the_seed():
    def rounds(seed):
        bench = Bench(dict.fromkeys("abc", 1.0))
        bench.run(runs=100, warm_up=0, seed=seed)
        return bench.rounds()

    assert len(set(rounds(0))) == 6  # every order of three
    assert rounds(0) == rounds(0)
    assert rounds(0) != rounds(1)


def test_nothing_to_run_is_nothing():
    assert Bench({}).run(runs=3, warm_up=1) == {}


def test_percentiles_of_known_samples():
    found = measurement([0.001 * value for value in (40, 10, 30, 20, 50)])
    assert found.percentile(0) == pytest.approx(10.0)
    assert found.percentile(50) == pytest.approx(30.0)
    assert found.percentile(90) == pytest.approx(46.0)  # 0.6 of the way from 40 to 50
    assert found.percentile(99) == pytest.approx(49.6)
    assert found.percentile(100) == pytest.approx(50.0)
    assert measurement([0.002]).percentile(99) == pytest.approx(2.0)


def test_throughput_is_images_over_all_the_time():
    assert measurement([0.1, 0.3], batch=8).throughput == pytest.approx(40.0)  # 16 images in 0.4 s


def test_the_document_has_the_figures_and_the_samples():
    machine = Machine("a CPU", 4, "Linux x86_64", "3.11")
    document = json.loads(json.dumps(report(machine, [measurement([0.1, 0.3], batch=8)])))
    assert document["schema"] == SCHEMA
    assert document["machine"] == {"cpu": "a CPU", "cores": 4, "system": "Linux x86_64", "python": "3.11"}
    (found,) = document["measurements"]
    assert found["samples_s"] == [0.1, 0.3]
    assert found["warm_up"] == 5
    assert found["batch"] == 8
    assert (found["artifact"], found["label"], found["runner"]) == ("folder", "label", "runner")
    assert found["p50_ms"] == pytest.approx(200.0)
    assert found["images_per_second"] == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("text", "cpu"),
    [
        ("processor: 0\nmodel name : Fast CPU\n\nprocessor: 1\nmodel name : Other\n", "Fast CPU"),
        (
            "cpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Fast CPU\nstepping\t: 7\n",
            "Fast CPU (cpu family 6, model 85, stepping 7)",
        ),
        ("BogoMIPS : 50\n", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_processor_is_the_kernels(tmp_path, text, cpu):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    assert this_machine(3, path).cpu == cpu
    assert this_machine(3, path).cores == 3


def test_a_system_without_cpuinfo(tmp_path):
    assert this_machine(1, tmp_path / "none").cpu
