"""The state of the machine at one moment, read from the kernel and from NVML. What is not exposed is None."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.machine.nvml import GpuState, open_gpu
from resnas_deploy.processes.resources import memory_limit, throttling

_CPU = "sys/devices/system/cpu"
_CPU_SENSORS = re.compile(r"coretemp|k10temp|zenpower|x86_pkg_temp|.*cpu.*")  # a disk's temperature is no processor's


@dataclass(frozen=True)
class CoreTimes:
    """Seconds since the system started, summed over the cores that this process may use (proc_stat(5))."""

    busy: float
    idle: float
    steal: float  # in which the hypervisor ran something else


@dataclass(frozen=True)
class Observation:
    """The machine at one moment. Counters begin anywhere: only their differences mean something."""

    at: float  # seconds, monotonic
    cores: int
    own: float  # CPU seconds of this process, and of its children that it waited for
    times: CoreTimes | None
    clock_mhz: float | None  # of the fastest usable core: cores at rest say nothing of a load
    celsius: float | None  # of the hottest sensor of the processor
    throttle_events: int | None  # times that heat slowed a usable core or its package down
    quota_events: int | None  # periods in which a control group had used up its share of CPU time
    gpu: GpuState | None
    quota_seconds: float | None = None  # for which that kept threads waiting
    memory_limit: int | None = None  # bytes that the control groups allow


def own_cpu_seconds() -> float:
    """Return the CPU time in seconds of this process, and of its children that it waited for."""
    taken = os.times()
    return taken.user + taken.system + taken.children_user + taken.children_system


def observe(
    cores: Collection[int],
    gpu: int | None = None,
    *,
    root: Path = Path("/"),
    clock: Callable[[], float] = time.monotonic,
    own: Callable[[], float] = own_cpu_seconds,
    environment: Mapping[str, str] = os.environ,
) -> Observation:
    """Look at the machine now. `cores` are the indices of those that this process may use; `gpu` is N of `cuda:N`.

    `root` is where `proc` and `sys` are, and `own` counts the CPU seconds that are not others'.
    """
    quota = throttling(root)
    folders = [root / _CPU / f"cpu{core}" for core in sorted(cores)]
    return Observation(
        at=clock(),
        cores=len(folders),
        own=own(),
        times=_times(root / "proc/stat", cores),
        clock_mhz=_clock(folders, root / "proc/cpuinfo", cores),
        celsius=max(_temperatures(root / "sys/class"), default=None),
        throttle_events=_throttle_events(folders),
        quota_events=None if quota is None else quota.periods,
        quota_seconds=None if quota is None else quota.seconds,
        memory_limit=memory_limit(root),
        gpu=None if gpu is None else _gpu(gpu, environment),
    )


def _times(stat: Path, cores: Collection[int]) -> CoreTimes | None:
    busy = idle = steal = 0
    for line in _lines(stat):
        name, *numbers = line.split()
        if name in {f"cpu{core}" for core in cores}:
            user, nice, system, resting, waiting, irq, softirq, stolen = map(int, numbers[:8])  # guest is in user
            busy += user + nice + system + irq + softirq
            idle += resting + waiting
            steal += stolen
    if not busy + idle + steal:
        return None
    tick = os.sysconf("SC_CLK_TCK")
    return CoreTimes(busy / tick, idle / tick, steal / tick)


def _clock(folders: Collection[Path], cpuinfo: Path, cores: Collection[int]) -> float | None:
    found = [_number(folder / "cpufreq/scaling_cur_freq") for folder in folders]
    known = [kilohertz / 1e3 for kilohertz in found if kilohertz is not None]
    return max(known or _clocks_of_cpuinfo(cpuinfo, cores), default=None)


def _clocks_of_cpuinfo(cpuinfo: Path, cores: Collection[int]) -> Iterator[float]:
    usable = False
    for line in _lines(cpuinfo):
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "processor":
            usable = int(value) in cores
        elif key == "cpu MHz" and usable:
            yield float(value)


def _temperatures(classes: Path) -> Iterator[float]:
    """Yield the degrees Celsius of the processor's sensors; the kernel writes thousandths."""
    folders = [(folder, "type", "temp") for folder in classes.glob("thermal/thermal_zone*")]
    folders += [(folder, "name", "temp*_input") for folder in classes.glob("hwmon/hwmon*")]
    for folder, name, values in folders:
        if _CPU_SENSORS.fullmatch("".join(_lines(folder / name)).strip()):
            found = (_number(path) for path in folder.glob(values))
            yield from (value / 1e3 for value in found if value is not None)


def _throttle_events(folders: Collection[Path]) -> int | None:
    """Sum the counters: each core has its own, and the cores of a package all show the package's."""
    found: dict[str, int] = {}
    for folder in folders:
        package = _number(folder / "topology/physical_package_id")
        for key, name in ((folder.name, "core"), (f"package {package}", "package")):
            if (count := _number(folder / f"thermal_throttle/{name}_throttle_count")) is not None:
                found[key] = count
    return sum(found.values()) if found else None


def _gpu(index: int, environment: Mapping[str, str]) -> GpuState | None:
    try:
        return open_gpu(index, environment).state()
    except NotAvailable:
        return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:  # not exposed, or not to this user; some sensors are there and cannot be read
        return []


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None
