"""What the machine's state before and after a measurement says of it: whether it was undisturbed and unthrottled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from resnas_deploy.measuring.machine.nvml import GpuState
from resnas_deploy.measuring.machine.observation import CoreTimes, Observation, observe
from resnas_deploy.system import here

# Shares of the usable cores' time above which a measurement says so. On a quiet machine others used at most 1 per cent,
# whatever the measurement itself did; another program that keeps one core busy is seen on up to 20 cores.
BUSY = 0.05
# A shared virtual machine with all its cores at work was seen to lose up to 3.5 per cent.
STOLEN = 0.05
SHORTEST = 0.5  # seconds below which there are no shares: the kernel counts in hundredths of a second

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class BeforeAfter:
    """A reading before a measurement and after it."""

    before: float
    after: float


@dataclass(frozen=True)
class GpuConditions:
    """What NVML told of the GPU."""

    sm_mhz: BeforeAfter | None
    celsius: BeforeAfter | None
    watts: BeforeAfter | None
    throttled: tuple[str, ...] | None  # why its clocks were held down, before or after
    power_limited: float | None  # seconds of the measurement in which power held the clocks down
    heat_limited: float | None  # the same for temperature
    processes: int | None  # the most that computed on it, this one included


@dataclass(frozen=True)
class Conditions:
    """The machine over a measurement. Shares are of the usable cores' time; None is what it does not expose."""

    seconds: float
    cores: int
    own_load: float | None  # share that this process and its children used
    other_load: float | None  # share that others used
    steal: float | None  # share that the hypervisor took
    clock_mhz: BeforeAfter | None
    celsius: BeforeAfter | None
    throttle_events: int | None
    quota_events: int | None  # periods in which the control groups' quota of CPU time was used up
    gpu: GpuConditions | None
    quota_seconds: float | None = None  # for which the quota kept threads waiting, summed over cores and groups
    memory_limit: int | None = None  # bytes, of the control groups

    @staticmethod
    def between(before: Observation, after: Observation) -> Conditions:
        """Return what two observations of the same cores and GPU say of the time between them."""
        seconds = after.at - before.at
        own, others, steal = _shares(before, after) if seconds >= SHORTEST else (None, None, None)
        return Conditions(
            seconds=seconds,
            cores=after.cores,
            own_load=own,
            other_load=others,
            steal=steal,
            clock_mhz=_change(before.clock_mhz, after.clock_mhz),
            celsius=_change(before.celsius, after.celsius),
            throttle_events=_more(before.throttle_events, after.throttle_events),
            quota_events=_more(before.quota_events, after.quota_events),
            gpu=_gpu_conditions(before.gpu, after.gpu) if before.gpu and after.gpu else None,
            quota_seconds=_more(before.quota_seconds, after.quota_seconds),
            memory_limit=after.memory_limit,
        )

    def warnings(self) -> list[str]:
        """Return what may have disturbed the measurement or held the machine back, a line each."""
        return self.disturbed() + self.throttled()

    def disturbed(self) -> list[str]:
        """Return what others did meanwhile."""
        found = []
        if self.other_load is not None and self.other_load > BUSY:
            found.append(f"the machine was busy: others used {self.other_load:.0%} of its {self.cores} cores")
        if self.steal is not None and self.steal > STOLEN:
            found.append(f"the hypervisor took {self.steal:.0%} of the cores' time")
        if self.gpu and self.gpu.processes is not None and self.gpu.processes > 1:
            found.append(f"the GPU was shared: {self.gpu.processes} processes computed on it")
        return found

    def throttled(self) -> list[str]:
        """Return what slowed the processor or the GPU down."""
        found = []
        if self.throttle_events:
            found.append(f"throttled: heat slowed the processor down, {self.throttle_events} events")
        if self.quota_events:
            lost = f", {self.quota_seconds:.2g} s of waiting" if self.quota_seconds else ""
            found.append(f"throttled: the control group's CPU quota was used up in {self.quota_events} periods{lost}")
        if self.gpu and self.gpu.throttled:
            found.append(f"throttled: the GPU's clocks were held down ({', '.join(self.gpu.throttled)})")
        if self.gpu and self.gpu.power_limited:
            found.append(f"throttled: power held the GPU's clocks down for {self.gpu.power_limited:.2g} s")
        if self.gpu and self.gpu.heat_limited:
            found.append(f"throttled: heat held the GPU's clocks down for {self.gpu.heat_limited:.2g} s")
        return found


def watch() -> Callable[[], Conditions]:
    """Look at the cores that this process may run on now. Return a function that tells what has happened since."""
    cores = here.cores()
    before = observe(cores)
    return lambda: Conditions.between(before, observe(cores))


def _shares(before: Observation, after: Observation) -> tuple[float, float, float] | tuple[None, None, None]:
    """Return of the cores' time what this process used, what others used, what the hypervisor took."""
    if not before.times or not after.times:
        return None, None, None
    first, last = before.times, after.times
    busy, steal = last.busy - first.busy, last.steal - first.steal
    total = _total(last) - _total(first)
    if total <= 0:
        return None, None, None
    own = after.own - before.own
    return own / total, max(0.0, busy - own) / total, max(0.0, steal / total)


def _total(times: CoreTimes) -> float:
    return times.busy + times.idle + times.steal


def _gpu_conditions(before: GpuState, after: GpuState) -> GpuConditions:
    reasons = [state.throttled for state in (before, after) if state.throttled is not None]
    processes = [state.processes for state in (before, after) if state.processes is not None]
    return GpuConditions(
        sm_mhz=_change(before.sm_mhz, after.sm_mhz),
        celsius=_change(before.celsius, after.celsius),
        watts=_change(before.watts, after.watts),
        throttled=tuple(dict.fromkeys(reason for some in reasons for reason in some)) if reasons else None,
        power_limited=_more(before.power_limited, after.power_limited),
        heat_limited=_more(before.heat_limited, after.heat_limited),
        processes=max(processes, default=None),
    )


def _change(before: float | None, after: float | None) -> BeforeAfter | None:
    return None if before is None or after is None else BeforeAfter(before, after)


def _more(before: Number | None, after: Number | None) -> Number | None:
    return None if before is None or after is None else after - before
