"""What two observations say of the time between them: shares, throttling, warnings, and JSON both ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from support.checks import refusal

from resnas_deploy.files import records
from resnas_deploy.measuring.machine.conditions import BUSY, STOLEN, BeforeAfter, Conditions
from resnas_deploy.measuring.machine.nvml import GpuState
from resnas_deploy.measuring.machine.observation import CoreTimes, Observation, observe

BEFORE = Observation(
    at=100.0,
    cores=2,
    own=10.0,
    times=CoreTimes(busy=50.0, idle=500.0, steal=1.0),
    clock_mhz=3000.0,
    celsius=40.0,
    throttle_events=5,
    quota_events=7,
    gpu=GpuState(
        sm_mhz=1980.0,
        celsius=50.0,
        watts=300.0,
        throttled=("software power cap",),
        power_limited=1.5,
        heat_limited=0.0,
        processes=1,
    ),
)
# Ten seconds of two cores: 12 of own work, 1 of others', 0.4 stolen, the rest idle.
AFTER = replace(BEFORE, at=110.0, own=22.0, times=CoreTimes(busy=63.0, idle=506.6, steal=1.4), clock_mhz=2800.0)
CALM = replace(AFTER, gpu=replace(BEFORE.gpu, throttled=()))


def between(before=BEFORE, **changes):
    return Conditions.between(before, replace(CALM, **changes))


def test_shares_of_the_cores_time():
    found = between()
    assert (found.seconds, found.cores) == (10, 2)
    assert found.own_load == pytest.approx(0.60)
    assert found.other_load == pytest.approx(0.05)
    assert found.steal == pytest.approx(0.02)
    assert found.clock_mhz == BeforeAfter(3000, 2800)
    assert found.celsius == BeforeAfter(40, 40)
    assert (found.throttle_events, found.quota_events) == (0, 0)


def test_what_a_quota_cost():
    before = replace(BEFORE, quota_seconds=1.0)
    found = between(before, quota_events=9, quota_seconds=3.25, memory_limit=2**30)
    assert (found.quota_events, found.quota_seconds, found.memory_limit) == (2, 2.25, 2**30)
    note = "throttled: the control group's CPU quota was used up in 2 periods, 2.2 s of waiting"
    assert note in found.throttled()
    assert records.from_json(Conditions, json.loads(json.dumps(records.to_json(found))), "conditions") == found


def test_more_own_time_than_the_ticks_saw_is_no_load_of_others():
    assert between(own=24.0).other_load == 0


def test_a_window_too_short_for_ticks_has_no_shares():
    found = between(at=100.4)
    assert (found.own_load, found.other_load, found.steal) == (None, None, None)
    assert between(at=100.5).other_load is not None


def test_no_time_counted_is_no_share():
    assert between(times=BEFORE.times).other_load is None
    assert between(times=None).other_load is None


def test_an_undisturbed_measurement_has_no_warnings():
    quiet = replace(BEFORE, gpu=replace(BEFORE.gpu, throttled=()))
    assert between(quiet, times=CoreTimes(busy=62.9, idle=507.0, steal=1.1)).warnings() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"times": CoreTimes(busy=66.6, idle=503.4, steal=1.0)},
            "the machine was busy: others used 23% of its 2 cores",
        ),
        ({"times": CoreTimes(busy=62.0, idle=506.8, steal=2.2)}, "the hypervisor took 6% of the cores' time"),
        ({"throttle_events": 8}, "throttled: heat slowed the processor down, 3 events"),
        ({"quota_events": 9}, "throttled: the control group's CPU quota was used up in 2 periods"),
    ],
)
def test_what_disturbed_it(changes, words):
    usual = {"times": CoreTimes(busy=62.0, idle=508.0, steal=1.0), "gpu": None}
    assert between(**usual).warnings() == []
    assert between(**usual | changes).warnings() == [words]


def test_the_thresholds_are_shares_of_all_cores():
    for busy, warns in ((20 * BUSY - 0.1, False), (20 * BUSY + 0.1, True)):
        times = CoreTimes(busy=62.0 + busy, idle=508.0 - busy, steal=1.0)
        assert bool(between(times=times, gpu=None).warnings()) is warns
    for steal, warns in ((20 * STOLEN - 0.1, False), (20 * STOLEN + 0.1, True)):
        times = CoreTimes(busy=62.0, idle=508.0 - steal, steal=1.0 + steal)
        assert bool(between(times=times, gpu=None).warnings()) is warns


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"throttled": ("hardware thermal slowdown", "software power cap")},
            "throttled: the GPU's clocks were held down (software power cap, hardware thermal slowdown)",
        ),
        ({"power_limited": 2.75}, "throttled: power held the GPU's clocks down for 1.2 s"),
        ({"heat_limited": 0.5}, "throttled: heat held the GPU's clocks down for 0.5 s"),
        ({"processes": 3}, "the GPU was shared: 3 processes computed on it"),
    ],
)
def test_what_disturbed_the_gpu(changes, words):
    before = replace(
        BEFORE, gpu=replace(BEFORE.gpu, throttled=("software power cap",) if "throttled" in changes else ())
    )
    times = CoreTimes(busy=62.0, idle=508.0, steal=1.0)
    assert between(before, times=times, gpu=replace(CALM.gpu, **changes)).warnings() == [words]


@pytest.mark.parametrize("after", [AFTER, CALM, replace(AFTER, gpu=None, times=None, celsius=None)])
def test_json_and_back(after):
    found = Conditions.between(BEFORE, after)
    assert records.from_json(Conditions, json.loads(json.dumps(records.to_json(found))), "conditions") == found


def test_what_is_not_exposed_is_left_out():
    bare = {"times": None, "clock_mhz": None, "celsius": None, "throttle_events": None, "quota_events": None}
    found = between(replace(BEFORE, gpu=None, **bare), gpu=None, **bare)
    assert records.to_json(found) == {"seconds": 10.0, "cores": 2}
    assert found.warnings() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seconds": None}, "conditions.seconds must be there"),
        ({"other_load": "5%"}, "conditions.other_load must be a finite number, found '5%'"),
        ({"steal": float("nan")}, "conditions.steal must be a finite number, found nan"),
        ({"throttle_events": 0.5}, "conditions.throttle_events must be an integer, found 0.5"),
        ({"clock_mhz": {"before": 3000.0}}, "conditions.clock_mhz.after must be there"),
        ({"gpu": {"throttled": [1]}}, "conditions.gpu.throttled[0] must be a text, found 1"),
        ({"gpu": 3}, "conditions.gpu must be a JSON object, found 3"),
        ({"mood": "calm"}, "unknown field 'mood'"),
    ],
)
def test_a_wrong_field_is_named(change, words):
    assert words in refusal(lambda: records.from_json(Conditions, records.to_json(between()) | change, "conditions"))


BUSY_FOR_HALF_A_SECOND = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"


def test_another_program_is_noticed_and_ones_own_is_not():
    """The same busy program counts as another's while it is not waited for, and as our own once it was."""
    cores = os.sched_getaffinity(0)
    before = observe(cores)
    with subprocess.Popen(
        [sys.executable, "-c", BUSY_FOR_HALF_A_SECOND], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as busy:
        busy.stdout.readline()
        meanwhile = observe(cores)
        busy.communicate(b"\n")
    after = observe(cores)
    others = meanwhile.times.busy - before.times.busy - (meanwhile.own - before.own)
    assert others >= 0.4  # seconds; ticks are coarse
    assert after.own - meanwhile.own >= 0.45  # two readings in ticks of 10 ms, subtracted
