"""The aims are computed from what was measured, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.surveyed import model, outcome

from resnas_deploy.surveying.aims import aims_of, fastest

BASELINE = outcome("small", "torch-compile-max", {1: 3.0, 256: 24.0}, baseline=True, graph=True)
OURS = outcome("small", "tensorrt", {1: 1.5, 256: 16.0}, graph=True)
PEER = outcome("deit-base", "torch-compile-max", {256: 100.0}, graph=True)


def verdicts(*found, rehearsal=False):
    return [(aim.verdict, aim.found) for aim in aims_of(found, rehearsal=rehearsal)]


def near(value):
    return pytest.approx(value, rel=1e-6)


def test_all_met():
    assert verdicts(BASELINE, OURS, PEER, model(0.01, 0.03)) == [
        ("met", near(2.0)),
        ("met", near(1.5)),
        ("met", near(6.25)),
        ("met", near(1 / 3)),
    ]


def test_none_met():
    slow = outcome("small", "tensorrt", {1: 2.5, 256: 23.0}, graph=True)
    assert [verdict for verdict, _ in verdicts(BASELINE, slow, PEER, model(0.02, 0.03))] == ["not met"] * 4


def test_what_was_not_measured_is_not_estimated():
    assert verdicts() == verdicts(OURS) == [("not measured", None)] * 4
    assert verdicts(BASELINE, OURS, PEER, model(0.01, 0.03), rehearsal=True) == [("not measured", None)] * 4
    assert "CUDA graphs in both or in neither" in aims_of([OURS], rehearsal=False)[0].words


def test_graphs_are_in_both_or_in_neither():
    """A graph on one side alone is no comparison."""
    without = outcome("small", "torch-compile-max", {1: 9.0, 256: 90.0}, baseline=True)
    assert verdicts(without, OURS)[0] == ("not measured", None)
    own = outcome("small", "aoti", {1: 4.5}, graph=False)
    assert verdicts(without, OURS, own)[0] == ("met", near(2.0))


def test_the_baseline_is_no_runner_of_ours_and_what_is_wrong_does_not_count():
    wrong = outcome("small", "ort-cuda", {1: 0.1, 256: 0.1}, graph=True, error=0.5)
    assert verdicts(BASELINE, wrong)[0] == ("not measured", None)
    assert verdicts(BASELINE, OURS, wrong)[0] == ("met", near(2.0))
    assert verdicts(BASELINE, BASELINE)[0] == ("not measured", None)
    timed = [item.timed for item in (BASELINE, OURS, wrong)]
    assert fastest(timed, "small", "fp16", 1)[0].runner == "tensorrt"
    assert fastest(timed, "small", "int8", 1) is None


def test_host_and_device_are_not_compared():
    hosts = outcome("small", "ort-cpu", {1: 1.0}, graph=True, latency="host to host")
    assert verdicts(BASELINE, hosts)[0] == ("not measured", None)


def test_one_that_ran_out_of_memory_has_no_figure():
    timed = OURS.timed
    (first, *rest) = timed.report.measurements
    report = replace(timed.report, measurements=(replace(first, samples_s=(), failure="out of memory"), *rest))
    assert verdicts(BASELINE, replace(OURS, timed=replace(timed, report=report)))[0] == ("not measured", None)
