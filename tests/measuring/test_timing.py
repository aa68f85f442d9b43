"""Interleaved timing with a clock of our own: the warm-up rule, whole rounds, rests, interruption."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnas_deploy.measuring.timing import REST, WarmUp, time_interleaved, timed

SETTLES = 2 * WarmUp.window  # rounds of warm-up of a step whose time stands still


class Bench:
    """Steps that take a set time on a clock that only they move, and a record of what happened."""

    def __init__(self, seconds):
        self.now = 0.0
        self.events = []
        self.told = []
        self.steps = {
            key: timed(lambda key=key, taken=taken: self.step(key, taken), lambda: self.now)
            for key, taken in seconds.items()
        }

    def step(self, key, taken):
        self.events.append(key)
        self.now += taken() if callable(taken) else taken

    def sleep(self, seconds):
        assert seconds == REST
        self.events.append("rest")
        self.now += 1000.0  # which no sample may hold

    def run(self, runs, seed=0, **options):
        rng = np.random.default_rng(seed)
        return time_interleaved(self.steps, runs, rng, sleep=self.sleep, progress=self.told.append, **options)

    @property
    def calls(self):
        return [event for event in self.events if event != "rest"]

    def rounds(self):
        size = len(self.steps)
        return [tuple(self.calls[start : start + size]) for start in range(0, len(self.calls), size)]


def scripted(*seconds):
    """Times of a step, one after another; the last for ever."""
    times = list(seconds)
    return lambda: times.pop(0) if len(times) > 1 else times[0]


@given(st.integers(1, 5), st.integers(1, 8), st.integers(0, 2**32))
def test_every_round_has_each_step_once_and_warm_up_does_not_count(keys, runs, seed):
    bench = Bench({key: float(key + 1) for key in range(keys)})
    found = bench.run(runs, seed)
    assert found.samples == {key: [key + 1.0] * runs for key in range(keys)}
    assert (found.warm_up, found.settled, found.interrupted) == (SETTLES, frozenset(range(keys)), False)
    assert len(bench.rounds()) == runs + SETTLES
    assert all(Counter(calls) == Counter(range(keys)) for calls in bench.rounds())


def test_a_rest_comes_before_every_step():
    bench = Bench({"a": 1.0, "b": 1.0})
    bench.run(runs=3)
    assert bench.events[::2] == ["rest"] * (len(bench.events) // 2)
    assert "rest" not in bench.events[1::2]


def test_the_order_varies_and_follows_from_the_seed():
    def rounds(seed):
        bench = Bench(dict.fromkeys("abc", 1.0))
        bench.run(runs=100, seed=seed)
        return bench.rounds()

    assert len(set(rounds(0))) == 6  # every order of three
    assert rounds(0) == rounds(0)
    assert rounds(0) != rounds(1)


def test_sample_by_sample_the_rounds_belong_together():
    """A machine that slows down slows a round, whatever its order: ratios are taken round by round."""
    bench = Bench({"a": lambda: 1.0 + len(bench.rounds()), "b": lambda: 2.0 * (1.0 + len(bench.rounds()))})
    samples = bench.run(runs=20).samples
    assert [b / a for a, b in zip(samples["a"], samples["b"], strict=True)] == [2.0] * 20


@pytest.mark.parametrize(
    ("samples", "settled"),
    [
        ([1.0] * 5, False),  # fewer than two windows
        ([1.0] * 6, True),
        ([1.0, 1.0, 1.0, 1.049, 1.049, 1.049], True),
        ([1.0, 1.0, 1.0, 1.051, 1.051, 1.051], False),
        ([1.0, 1.0, 1.0, 0.949, 0.949, 0.949], False),
        ([1.0, 9.0, 1.0, 1.0, 1.0, 9.0], True),  # an outlier moves no median
        ([9.0, 9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], True),  # what is older does not count
    ],
)
def test_the_rule(samples, settled):
    assert WarmUp().settled(samples) is settled


@given(st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=12), st.floats(1e-3, 1e3))
def test_the_rule_knows_no_unit(samples, unit):
    """But for rounding where a median lies on the bound itself."""
    tolerances = (0.05 - 1e-9, 0.05 + 1e-9)
    strict, lenient = (WarmUp(tolerance=value).settled(samples) for value in tolerances)
    if strict == lenient:
        assert WarmUp().settled([unit * sample for sample in samples]) is strict


def test_the_cold_calls_are_the_warm_up():
    bench = Bench({"a": scripted(100.0, 50.0, 20.0, 3.0)})
    found = bench.run(runs=2)
    assert found.samples == {"a": [3.0, 3.0]}
    assert found.warm_up == 8  # by then the earlier of the last two windows is 20, 3, 3


def test_one_that_needs_longer_keeps_all_going():
    bench = Bench({"a": 1.0, "b": scripted(*[float(2**n) for n in range(10, 0, -1)], 1.0)})
    found = bench.run(runs=3)
    assert found.warm_up > SETTLES
    assert bench.calls.count("a") == bench.calls.count("b") == found.warm_up + 3
    assert found.samples["b"] == [1.0] * 3
    assert found.settled == {"a", "b"}


def test_one_that_never_settles_is_bounded_and_said():
    times = iter(float(2**n) for n in range(100))
    bench = Bench({"a": 1.0, "b": lambda: next(times)})
    found = bench.run(runs=2, warm_up=WarmUp(most=9))
    assert (found.warm_up, found.settled) == (9, {"a"})
    assert found.samples["b"] == [2.0**9, 2.0**10]
    assert bench.told[8:] == [
        "warm-up, 1 of 2 configurations have settled",
        "round 1 of 2, each of 2 configurations",
        "round 2 of 2, each of 2 configurations",
    ]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("at", "whole"), [(1, 0), (SETTLES, 0), (SETTLES + 1, 0), (SETTLES + 2, 1), (SETTLES + 4, 3)])
def test_after_an_interrupt_only_whole_rounds_count(seed, at, whole):
    """Whichever step it hits, and however many of the round came before."""
    calls = Counter()

    def interrupt():
        calls["b"] += 1
        if calls["b"] == at:
            raise KeyboardInterrupt
        return 2.0

    bench = Bench({"a": 1.0, "b": interrupt, "c": 3.0})
    found = bench.run(runs=4, seed=seed)
    assert found.interrupted
    assert found.samples == {"a": [1.0] * whole, "b": [2.0] * whole, "c": [3.0] * whole}
    assert len(bench.calls) <= 3 * at


def test_an_interrupt_in_a_rest():
    def sleep(_):
        raise KeyboardInterrupt

    found = time_interleaved({"a": lambda: 1.0}, 3, np.random.default_rng(0), sleep=sleep)
    assert (found.samples, found.interrupted) == ({"a": []}, True)


def test_other_errors_are_not_passed_over():
    def fail():
        raise RuntimeError("device lost")

    with pytest.raises(RuntimeError, match="device lost"):
        Bench({"a": fail}).run(runs=1)


def test_nothing_to_run_is_nothing():
    found = Bench({}).run(runs=3)
    assert (found.samples, found.warm_up, found.interrupted) == ({}, 0, False)
