"""Quotas and limits of control groups: files as kernels show them, and a real group where root may make one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.file_tree import tree

from resnas_deploy.processes.resources import Throttling, cpu_quota, free_memory, memory_limit, throttling, usable_cores

MIB = 2**20
CORES = len(os.sched_getaffinity(0))
V2 = "30 29 0:26 {top} {place} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "31 29 0:27 {top} {place} rw - cgroup cgroup rw,{controllers}"
NO_V1_LIMIT = 2**63 - 4096


def v2(membership, files, top="/", place="/sys/fs/cgroup"):
    """A system of version 2 alone; the files are below its mount."""
    inside = {f"{place.lstrip('/')}/{name}": text for name, text in files.items()}
    mount = V2.format(top=top, place=place.replace(" ", r"\040"))
    return {"proc/self/cgroup": f"0::{membership}", "proc/self/mountinfo": mount, **inside}


def v1(membership, files, top="/", controllers="cpu,cpuacct"):
    """A system of version 1; the files are below the mount of these controllers."""
    place = f"/sys/fs/cgroup/{controllers}"
    memberships = f"9:name=systemd:/init.scope\n4:{controllers}:{membership}"
    inside = {f"{place.lstrip('/')}/{name}": text for name, text in files.items()}
    return {
        "proc/self/cgroup": memberships,
        "proc/self/mountinfo": V1.format(top=top, place=place, controllers=controllers),
        **inside,
    }


def v1_quota(folder, quota, period=100_000):
    return {f"{folder}cpu.cfs_quota_us": quota, f"{folder}cpu.cfs_period_us": period}


HYBRID = {
    "proc/self/cgroup": "4:cpu,cpuacct:/job\n1:name=systemd:/x\n0::/x",
    "proc/self/mountinfo": "\n".join(
        [
            "25 1 8:1 / / rw - ext4 /dev/sda rw",
            V1.format(top="/", place="/sys/fs/cgroup/cpu,cpuacct", controllers="cpu,cpuacct"),
            V2.format(top="/", place="/sys/fs/cgroup/unified"),
        ]
    ),
    "sys/fs/cgroup/unified/x/cgroup.procs": "1",
    "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "75000",
    "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "50000",
}
QUOTAS = {
    "nothing is exposed": ({}, None),
    "v2, without one": (v2("/a", {"a/cpu.max": "max 100000"}), None),
    "v2, half a core": (v2("/a", {"a/cpu.max": "50000 100000"}), 0.5),
    "v2, an ancestor has less": (
        v2("/a/b/c", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000", "a/b/c/cpu.max": "400000 100000"}),
        1.5,
    ),
    "v2, a namespace of its own": (v2("/", {"cpu.max": "20000 10000"}), 2),
    "v2, the names of the host": (v2("/docker/1", {"cpu.max": "20000 10000"}, top="/docker/1"), 2),
    "v2, below a part that is shown": (v2("/pod/x", {"x/cpu.max": "30000 10000"}, top="/pod"), 3),
    "v2, beside the namespace": (v2("/../other", {"cpu.max": "10000 10000"}), 1),
    "v2, a place with a space": (v2("/", {"cpu.max": "10000 10000"}, place="/sys/fs/control groups"), 1),
    "v2, a group that is not shown": (v2("/elsewhere", {"cpu.max": "10000 10000"}), None),
    "v2, its file is empty": (v2("/", {"cpu.max": ""}), None),
    "v2, no numbers": (v2("/", {"cpu.max": "some more"}), None),
    "v2, no time at all": (v2("/", {"cpu.max": "0 0"}), None),
    "v2, digits of another script": (v2("/", {"cpu.max": "\u0663\u0660 \u0661\u0660"}), None),
    "v2, a number without an end": (v2("/", {"cpu.max": f"{'9' * 5000} 10"}), None),
    "v1, without one": (v1("/a", v1_quota("a/", -1)), None),
    "v1, half a core": (v1("/a", v1_quota("a/", 50_000)), 0.5),
    "v1, an ancestor has less": (v1("/a/b", v1_quota("a/b/", 90_000) | v1_quota("a/", 25_000)), 0.25),
    "v1, in Docker": (v1("/docker/1", v1_quota("", 250_000), top="/docker/1"), 2.5),
    "v1, of another controller": (v1("/a", v1_quota("a/", 50_000), controllers="cpuset"), None),
    "both versions": (HYBRID, 1.5),
    "mounts that are not told": (
        {"proc/self/cgroup": "2:cpu:/a", **{f"sys/fs/cgroup/cpu/{k}": v for k, v in v1_quota("a/", 50_000).items()}},
        0.5,
    ),
    "lines that are none": (v2("/", {"cpu.max": "10000 10000"}) | {"proc/self/cgroup": "\n:\n0:\nx\n0::/"}, 1),
}


@pytest.mark.parametrize(("files", "quota"), QUOTAS.values(), ids=QUOTAS)
def test_the_quota(tmp_path, files, quota):
    assert cpu_quota(tree(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("1000 100000", 1), ("50000 100000", 1), ("100000 100000", 1), ("100001 100000", min(2, CORES)), ("max 9", CORES)],
)
def test_threads_are_the_whole_cores_that_a_quota_fills(tmp_path, quota, cores):
    assert usable_cores(tree(tmp_path, v2("/", {"cpu.max": quota}))) == cores


def test_more_than_the_machine_has_is_no_more(tmp_path):
    assert usable_cores(tree(tmp_path, v2("/", {"cpu.max": "99999999 1000"}))) == CORES


def test_what_a_quota_costs(tmp_path):
    counters = "usage_usec 9\nnr_periods 9\nnr_throttled {}\nthrottled_usec {}"
    files = {"a/cpu.stat": counters.format(3, 500_000), "a/b/cpu.stat": counters.format(4, 1_000_000)}
    assert throttling(tree(tmp_path / "2", v2("/a/b", files))) == Throttling(7, 1.5)
    old = "nr_periods 9\nnr_throttled 5\nthrottled_time 2500000000"
    assert throttling(tree(tmp_path / "1", v1("/a", {"a/cpu.stat": old}))) == Throttling(5, 2.5)
    assert throttling(tree(tmp_path / "0", v2("/", {"cpu.stat": "usage_usec 5"}))) is None


MEMORY = {
    "nothing is exposed": ({}, None, 8192),
    "v2, without one": (v2("/a", {"a/memory.max": "max", "a/memory.current": 5}), None, 8192),
    "v2": (v2("/a", {"a/memory.max": 3000 * MIB, "a/memory.current": 1000 * MIB}), 3000, 2000),
    "v2, files that the kernel would drop": (
        v2(
            "/",
            {
                "memory.max": 3000 * MIB,
                "memory.current": 2900 * MIB,
                "memory.stat": f"anon 5\ninactive_file {900 * MIB}",
            },
        ),
        3000,
        1000,
    ),
    "v2, an ancestor is full": (
        v2(
            "/a/b",
            {
                "a/memory.max": 100 * MIB,
                "a/memory.current": 200 * MIB,
                "a/b/memory.max": 900 * MIB,
                "a/b/memory.current": 0,
            },
        ),
        100,
        0,
    ),
    "v1": (
        v1("/a", {"a/memory.limit_in_bytes": 500 * MIB, "a/memory.usage_in_bytes": 100 * MIB}, controllers="memory"),
        500,
        400,
    ),
    "v1, without one": (
        v1("/", {"memory.limit_in_bytes": NO_V1_LIMIT, "memory.usage_in_bytes": 5}, controllers="memory"),
        None,
        8192,
    ),
    "v1, ancestors that are not shown": (
        v1(
            "/docker/1",
            {
                "memory.limit_in_bytes": NO_V1_LIMIT,
                "memory.usage_in_bytes": 100 * MIB,
                "memory.stat": f"hierarchical_memory_limit {700 * MIB}\ntotal_inactive_file {50 * MIB}",
            },
            top="/docker/1",
            controllers="memory",
        ),
        700,
        650,
    ),
}


@pytest.mark.parametrize(("files", "limit", "free"), MEMORY.values(), ids=MEMORY)
def test_memory(tmp_path, files, limit, free):
    root = tree(tmp_path, {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable:   {8192 * 1024} kB", **files})
    assert memory_limit(root) == (None if limit is None else limit * MIB)
    assert free_memory(root) == free * MIB


def test_files_that_cannot_be_read(tmp_path):
    root = tree(tmp_path, v2("/", {"cpu.max": "10000 10000"}))
    (root / "sys/fs/cgroup/cpu.max").unlink()
    (root / "sys/fs/cgroup/cpu.max").mkdir()  # root may read any file, but no folder
    assert cpu_quota(root) is None
    (root / "proc/self/cgroup").write_bytes(b"\xff\xfe0::/\x00")
    assert cpu_quota(root) is None


@contextmanager
def group_with_quota(share):
    """A real control group with so many cores' worth of CPU time, of whichever version has them here."""
    old, new = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    is_old = (old / "cpu.cfs_quota_us").exists()
    group = (old if is_old else new) / f"resnas-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            if is_old:
                (group / "cpu.cfs_period_us").write_text("100000")
                (group / "cpu.cfs_quota_us").write_text(str(int(share * 100_000)))
            else:
                (group / "cpu.max").write_text(f"{int(share * 100_000)} 100000")
        except OSError as error:
            pytest.skip(f"no control group of CPU time can be made here: {error}")
        yield group
    finally:
        with suppress(OSError):
            group.rmdir()


def inside(group, code):
    """The JSON that a Python program prints that is in the group from its first moment on."""
    enter = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
    done = subprocess.run([sys.executable, "-c", enter + code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


BUSY = """
import json, os, time
from resnas_deploy.measuring.machine.conditions import Conditions
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.machine.observation import observe
from resnas_deploy.processes.resources import throttling
from resnas_deploy.runners.base import usable_cores

cores, began = os.sched_getaffinity(0), throttling()
before = observe(cores)
while throttling().periods < began.periods + 2:  # for as long as it takes to use the share up, twice
    for _ in range(100_000):
        pass
found = Conditions.between(before, observe(cores))
print(json.dumps([usable_cores(), this_machine(usable_cores()).cpu_quota, found.quota_events, found.throttled()]))
"""


def test_a_real_quota_is_followed_and_noted():
    with group_with_quota(0.05) as group:
        cores, quota, events, notes = inside(group, BUSY)
    assert (cores, quota) == (1, 0.05)
    assert events >= 1  # how many hangs on how much of the time others left it
    assert any(f"the control group's CPU quota was used up in {events} periods" in note for note in notes)


STARTED = """
import json, os
from resnas_deploy.cli.environment import prepare
prepare(os.environ)
import torch
print(json.dumps([torch.get_num_threads(), os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]]))
"""


@pytest.mark.skipif(CORES < 2, reason="a quota of one core is no limit on one core")
def test_what_libraries_start_is_no_more_either(monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with group_with_quota(1) as group:
        assert inside(group, STARTED) == [1, "1", "1"]
