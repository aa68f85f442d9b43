"""Limits as finalists are measured by: percentiles, throughput and energy, at the pace that the profile had."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from support.checks import refusal
from support.made_up_measuring import measurement

from resnas_deploy.measuring.latency.bounds import RUNS
from resnas_deploy.measuring.machine.energy import Energy
from resnas_deploy.searching.measured_limits import MeasuredLimit, largest_share, pace_of, told

TIMES = [0.010] * 95 + [0.030] * 5  # seconds: a twentieth of the runs is disturbed
MEASURED = measurement([TIMES], batch=4, images=4)


@pytest.mark.parametrize(("figure", "ms"), [("p50", 10), ("p90", 10), ("p99", 30)])
def test_a_percentile_of_the_runs_is_what_is_limited(figure, ms):
    limit = MeasuredLimit(figure, 20)
    assert limit.value(MEASURED) == pytest.approx(ms)
    assert limit.share(MEASURED) == pytest.approx(ms / 20)
    assert limit.runs == RUNS[figure]
    assert str(limit) == f"{figure} of at most 20 ms"


def test_a_throughput_is_a_least():
    limit = MeasuredLimit("throughput", 1000)
    assert limit.value(MEASURED) == pytest.approx(400 / sum(TIMES))
    assert limit.share(MEASURED) == pytest.approx(1000 / limit.value(MEASURED))
    assert str(limit) == "throughput of at least 1e+03 images/s"


def test_an_energy_is_what_the_devices_own_meter_counted():
    limit = MeasuredLimit("energy", 50)
    counted = replace(MEASURED, energy=(Energy("NVML, cuda:0", 0.9, 1, 1, 1), Energy("RAPL, 1 package", 0.04, 1, 1, 1)))
    assert limit.value(counted) == pytest.approx(40)
    assert limit.share(counted) == pytest.approx(0.8)
    assert limit.share(MEASURED) == math.inf  # nobody counted it: it is not known to be kept
    assert str(limit) == "energy of at most 50 mJ"


def test_on_a_machine_that_is_slower_now_what_was_measured_is_taken_at_the_profiles_pace():
    limits = (MeasuredLimit("p50", 9), MeasuredLimit("throughput", 300))
    assert largest_share(limits, MEASURED) == pytest.approx(10 / 9)
    assert largest_share(limits, MEASURED, 1.25) == pytest.approx(8 / 9)
    assert MeasuredLimit("energy", 50).value(MEASURED, 1.25) == math.inf
    assert told(limits, MEASURED, 1.0) == "throughput 364 images/s"
    assert told(limits, MEASURED, 1.25) == (
        "p50 8 ms, throughput 455 images/s at the profile's pace (now 1.25 times slower)"
    )
    assert told(limits[:1], MEASURED, 1.0) == ""


@pytest.mark.parametrize(("profiled_ms", "pace"), [(10, 1), (12, 1), (9, 10 / 9), (8, 1.25), (7.9, 1), (0.01, 1)])
def test_a_machine_that_is_far_slower_is_not_the_one_that_was_profiled(profiled_ms, pace):
    assert pace_of(MEASURED, profiled_ms) == pytest.approx(pace)


def test_what_did_not_run_keeps_no_limit():
    failed = measurement([], failure="out of memory")
    assert largest_share((MeasuredLimit("p50", 9),), failed) == math.inf
    assert largest_share((), failed) == 0
    assert told((MeasuredLimit("p99", 9),), failed, 2.0) == ""


def test_a_limit_of_nothing_is_refused():
    assert "a limit must be above 0, found 0 for p50" in refusal(lambda: MeasuredLimit("p50", 0))
