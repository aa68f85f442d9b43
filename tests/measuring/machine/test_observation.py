"""Reading the machine's state from trees of files such as the kernel shows, and from the kernel itself."""

from __future__ import annotations

import os
import time

import pytest
from support.file_tree import tree

from resnas_deploy.measuring.machine.observation import CoreTimes, observe, own_cpu_seconds

CPU = "sys/devices/system/cpu"
TICK = os.sysconf("SC_CLK_TCK")
STAT = f"""\
cpu  9 9 9 9 9 9 9 9 9 9
cpu0 {TICK} {2 * TICK} {3 * TICK} {4 * TICK} {5 * TICK} {6 * TICK} {7 * TICK} {8 * TICK} {TICK} 0
cpu1 {TICK} 0 0 {TICK} 0 0 0 0 0 0
cpu10 {1000 * TICK} 0 0 0 0 0 0 0 0 0
intr 1 2 3"""


def look(root, cores=(0, 1)):
    return observe(cores, root=root, clock=lambda: 5.0, own=lambda: 2.0)


def test_nothing_exposed_is_nothing_found(tmp_path):
    found = look(tmp_path)
    assert (found.at, found.cores, found.own) == (5.0, 2, 2.0)
    assert (found.times, found.clock_mhz, found.celsius, found.gpu) == (None,) * 4
    assert (found.throttle_events, found.quota_events) == (None, None)


@pytest.mark.parametrize(
    ("cores", "times"),
    [
        ((0,), CoreTimes(busy=1 + 2 + 3 + 6 + 7, idle=4 + 5, steal=8)),  # guest is part of user
        ((1,), CoreTimes(busy=1, idle=1, steal=0)),  # cpu10 is another
        ((0, 1), CoreTimes(busy=20, idle=10, steal=8)),
        ((7,), None),
    ],
)
def test_times_of_the_usable_cores(tmp_path, cores, times):
    assert look(tree(tmp_path, {"proc/stat": STAT}), cores).times == times


def test_the_clock_is_the_fastest_usable_cores(tmp_path):
    cpuinfo = "\n\n".join(f"processor : {core}\ncpu MHz : {1000.5 + core}" for core in range(3))
    root = tree(tmp_path, {"proc/cpuinfo": cpuinfo})
    assert look(root).clock_mhz == 1001.5
    tree(root, {f"{CPU}/cpu{core}/cpufreq/scaling_cur_freq": f"{(3 - core) * 1_000_000}" for core in range(3)})
    assert look(root).clock_mhz == 3000
    assert look(root, (1, 2)).clock_mhz == 2000


def test_the_temperature_is_the_processors_hottest(tmp_path):
    files = {
        "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp",
        "sys/class/thermal/thermal_zone0/temp": "51000",
        "sys/class/thermal/thermal_zone1/type": "iwlwifi_1",
        "sys/class/thermal/thermal_zone1/temp": "99000",
        "sys/class/hwmon/hwmon0/name": "nvme",
        "sys/class/hwmon/hwmon0/temp1_input": "98000",
    }
    assert look(tree(tmp_path, files)).celsius == 51
    sensor = {"sys/class/hwmon/hwmon1/name": "coretemp", "sys/class/hwmon/hwmon1/temp1_input": "49000"}
    assert look(tree(tmp_path, sensor | {"sys/class/hwmon/hwmon1/temp2_input": "63500"})).celsius == 63.5


def test_throttling_counts_a_package_once(tmp_path):
    files = {}
    for core, package in ((0, 0), (1, 0), (2, 1)):
        files |= {
            f"{CPU}/cpu{core}/topology/physical_package_id": package,
            f"{CPU}/cpu{core}/thermal_throttle/core_throttle_count": 10 + core,
            f"{CPU}/cpu{core}/thermal_throttle/package_throttle_count": 100 * (package + 1),
        }
    root = tree(tmp_path, files)
    assert look(root, (0, 1)).throttle_events == 10 + 11 + 100
    assert look(root, (0, 1, 2)).throttle_events == 10 + 11 + 12 + 100 + 200


@pytest.mark.parametrize(
    ("group", "folder", "events"),
    [("0::/", "", 3), ("0::/a.slice/b", "a.slice/b/", 3), ("4:cpu:/a", "", None), ("0::/elsewhere", "", None)],
)
def test_the_quota_is_the_control_groups(tmp_path, group, folder, events):
    counters = "usage_usec 5\nnr_periods 9\nnr_throttled 3"
    root = tree(tmp_path, {"proc/self/cgroup": group, f"sys/fs/cgroup/{folder}cpu.stat": counters})
    assert look(root).quota_events == events


def test_a_group_without_a_quota(tmp_path):
    root = tree(tmp_path, {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.stat": "usage_usec 5"})
    assert look(root).quota_events is None


def test_this_machine():
    cores = os.sched_getaffinity(0)
    earlier = own_cpu_seconds()
    first = observe(cores)
    started, own = time.monotonic(), own_cpu_seconds()
    while own_cpu_seconds() < own + 0.2:
        pass
    passed = time.monotonic() - started
    last = observe(cores)
    whole = own_cpu_seconds() - earlier
    assert first.cores == last.cores == len(cores)
    assert last.at - first.at >= passed - 0.01
    assert 0.19 <= last.own - first.own <= whole + 0.02  # the kernel counts in hundredths
    assert last.times.busy - first.times.busy >= 0.1  # of ticks: about as much as this process used
