"""The gate's judgement of sessions that were written for it, and what may not be compared at all."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from support.made_up_measuring import MACHINE, configuration, measurement, report

from resnas_deploy.measuring.gate import ATTEMPTS, THRESHOLD, Change, baseline_differences, comparison_key, judge
from resnas_deploy.measuring.statistics import Interval

ONE, OTHER = {"batch": 1}, {"batch": 8, "images": 8}


def session(seed=0, *, slowdown=(1.0, 1.0), openings=6, noise=0.004, drift=0.3, speed=1.0, interrupted=False, of=None):
    """A session on a machine that drifts: two configurations, 10 and 80 ms, so many times slower."""
    rng = np.random.default_rng(seed)
    reference = speed * np.exp(rng.normal(0, drift, (openings, 10)))
    found = []
    for base, factor, changes in zip((0.01, 0.08), slowdown, (ONE, OTHER), strict=True):
        times = base * factor * reference * np.exp(rng.normal(0, noise, (openings, 10)))
        if of is None or changes["batch"] in of:
            found.append(measurement(times.tolist(), **changes))
    return report(*found, reference=tuple(map(tuple, reference.tolist())), interrupted=interrupted)


BASELINE = session(99, openings=12)


def judged(*sessions):
    """Changes by batch size, and the batch sizes that each session was asked for."""
    asked, waiting = [], list(sessions)

    def measure(configurations):
        asked.append([item.batch for item in configurations])
        return waiting.pop(0)

    return {change.configuration.batch: change for change in judge(BASELINE, measure)}, asked


def test_no_change_is_one_session_and_no_regression():
    changes, asked = judged(session(1))
    assert asked == [[1, 8]]
    assert [change.verdict for change in changes.values()] == ["as before"] * 2


def test_a_slower_machine_is_no_regression():
    changes, _ = judged(session(1, speed=3.0))
    assert not any(change.regressed for change in changes.values())
    assert changes[1].ratio.value == pytest.approx(1, abs=0.01)


def test_a_real_slowdown_is_measured_again_and_found():
    again = [session(seed, slowdown=(1.0, 1.1), of=[8]) for seed in (2, 3)]
    changes, asked = judged(session(1, slowdown=(1.0, 1.1)), *again)
    assert asked == [[1, 8], [8], [8]]
    assert len(asked) == ATTEMPTS
    assert (changes[1].regressed, changes[8].regressed) == (False, True)
    assert changes[8].verdict == "slower"
    assert changes[8].ratio.value == pytest.approx(1.1, abs=0.01)
    assert (changes[1].openings, changes[8].openings) == (6, 18)


@pytest.mark.parametrize(
    ("ratio", "threshold", "verdict", "suspect"),
    [
        (1.02, THRESHOLD, "as before", True),
        (1.04, THRESHOLD, "slower", True),
        (1.04, 1.05, "as before", True),
        (1.06, 1.05, "slower", True),
        (0.96, THRESHOLD, "faster", False),
        (0.96, 1.05, "as before", False),
        (1.009, THRESHOLD, "as before", False),
        (1.009, 1.005, "slower", True),
    ],
)
def test_a_threshold_is_what_slower_and_faster_are_beyond(ratio, threshold, verdict, suspect):
    then, now = Interval(1.0, 0.999, 1.001), Interval(ratio, ratio * 0.999, ratio * 1.001)
    found = Change(configuration(), then, now, 12, threshold)
    assert (found.verdict, found.suspect) == (verdict, suspect)


@pytest.mark.parametrize(
    ("low", "value", "high", "told"),
    [(0.107, 0.9, 3.739, "cannot tell from noise"), (0.99, 1.0, 1.01, ""), (1.1, 1.2, 1.3, ""), (0.5, 0.6, 0.7, "")],
)
def test_what_cannot_be_told_from_noise_is_not_passed_over_in_silence(low, value, high, told):
    """The last two are slower and faster for certain."""
    found = Change(configuration(), Interval(1.0, 1.0, 1.0), Interval(value, low, high), 2).note
    assert bool(found) == bool(told)
    assert told in found


def test_the_threshold_is_of_every_change():
    assert {change.threshold for change in judge(BASELINE, lambda _: session(1), 1.2)} == {1.2}


def test_a_suspect_is_cleared_by_measuring_again():
    changes, asked = judged(session(1, slowdown=(1.06, 1.0)), session(2, slowdown=(0.92, 1.0), of=[1]))
    assert asked == [[1, 8], [1]]
    assert changes[1].openings == 12
    assert not changes[1].regressed


def test_a_suspect_that_stays_uncertain_is_no_regression():
    sessions = [session(seed, slowdown=(1.06, 1.0), noise=0.5) for seed in range(4, 4 + ATTEMPTS)]
    changes, asked = judged(*sessions)
    assert len(asked) <= ATTEMPTS
    for change in changes.values():
        assert change.regressed == (change.ratio.value > THRESHOLD and change.ratio.low > 1)
        assert not change.regressed or change.suspect


@pytest.mark.parametrize(("slowdown", "sessions"), [(1.005, 1), (1.02, ATTEMPTS)])
def test_less_than_the_threshold_is_no_regression_however_certain(slowdown, sessions):
    given = [session(seed, slowdown=(slowdown, 1.0), noise=1e-4) for seed in range(sessions)]
    changes, asked = judged(*given)
    assert len(asked) == sessions
    assert changes[1].ratio.low > 1
    assert changes[1].verdict == "as before"


def test_an_improvement_is_said():
    changes, asked = judged(session(1, slowdown=(0.8, 1.0)))
    assert len(asked) == 1
    assert [change.verdict for change in changes.values()] == ["faster", "as before"]


def test_an_interrupted_session_is_not_measured_again():
    changes, asked = judged(session(1, slowdown=(1.5, 1.0), interrupted=True))
    assert len(asked) == 1
    assert changes[1].suspect
    assert judged(report(interrupted=True)) == ({}, [[1, 8]])


def test_what_is_not_there_now_has_no_change():
    changes, _ = judged(session(1, of=[8]))
    assert set(changes) == {8}
    lost = session(1, of=[8])
    failed = measurement((), failure="out of memory", **ONE)
    changes, _ = judged(replace(lost, measurements=(failed, *lost.measurements)))
    assert set(changes) == {8}


def test_what_is_not_in_the_baseline_is_passed_over():
    now = session(1)
    more = replace(now.measurements[0], configuration=configuration(batch=77))
    changes, _ = judged(replace(now, measurements=(*now.measurements, more)))
    assert set(changes) == {1, 8}


def test_a_change_as_json():
    changes, _ = judged(session(1))
    document = json.loads(json.dumps(changes[1].to_json()))
    assert document["configuration"]["batch"] == 1
    assert document["ratio"]["low"] <= document["ratio"]["value"] <= document["ratio"]["high"]
    assert (document["verdict"], document["openings"]) == ("as before", 6)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"digest": "cd" * 32}, True),  # another graph of the same network is what is compared
        ({"source": "elsewhere"}, True),
        ({"version": "onnxruntime 2.0"}, True),
        ({"device": "cpu"}, True),
        ({"device": "cuda:0 NVIDIA L4"}, False),
        ({"label": "x"}, False),
        ({"precision": "fp16"}, False),
        ({"runner": "openvino"}, False),
        ({"latency": "device only"}, False),
        ({"threads": 1}, False),
        ({"batch": 2}, False),
        ({"streams": 2}, False),
    ],
)
def test_what_makes_configurations_the_same(changes, same):
    assert (comparison_key(configuration(**changes)) == comparison_key(configuration())) is same


def test_a_gpu_of_another_number_is_the_same_and_said():
    there, here = (configuration(device=f"cuda:{n} NVIDIA L4") for n in (0, 1))
    assert comparison_key(there) == comparison_key(here)
    baseline = report(replace(measurement(), configuration=there))
    assert baseline_differences(baseline, MACHINE, "a workload", [here]) == [
        "ort-cpu: cuda:0 NVIDIA L4 there, cuda:1 NVIDIA L4 here"
    ]


def test_nothing_differs():
    here = [item.configuration for item in BASELINE.measurements]
    assert baseline_differences(BASELINE, MACHINE, "a workload", here) == []
    assert (
        baseline_differences(BASELINE, MACHINE, "a workload", [replace(item, digest="x", source="y") for item in here])
        == []
    )


def test_every_difference_is_a_line_and_said_once():
    machine = replace(MACHINE, cpu="another CPU", cores=4)
    here = [replace(item.configuration, version="onnxruntime 2.0", boundary="b") for item in BASELINE.measurements]
    assert baseline_differences(BASELINE, machine, "other work", here) == [
        "cpu: a CPU there, another CPU here",
        "cores: 2 there, 4 here",
        "reference workload: a workload there, other work here",
        "ort-cpu: onnxruntime 1.0 there, onnxruntime 2.0 here",
        "ort-cpu: host to host there, b here",
    ]


def test_another_instruction_set_is_another_machine():
    here = [item.configuration for item in BASELINE.measurements]
    there = replace(BASELINE, machine=replace(MACHINE, instructions="AVX512-VNNI"))
    amx = replace(MACHINE, instructions="AMX-INT8, AVX512-VNNI")
    assert baseline_differences(there, amx, "a workload", here) == [
        "instructions: AVX512-VNNI there, AMX-INT8, AVX512-VNNI here"
    ]
    assert baseline_differences(BASELINE, amx, "a workload", here) == []  # which does not tell its own


def test_what_does_not_run_here_differs():
    here = [configuration(threads=4, **ONE), configuration(**OTHER)]
    assert baseline_differences(BASELINE, MACHINE, "a workload", here) == [
        "label, ort-cpu, batch 1, host to host, 2 threads, cpu there, nothing of the kind here"
    ]
