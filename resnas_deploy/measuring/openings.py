"""Times what a plan names, opening by opening, interleaved with the reference workload."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from resnas_deploy.measuring.cases import OUT_OF_MEMORY, Case, Ready, Streams, open_cases
from resnas_deploy.measuring.machine.energy import Energy, Meters
from resnas_deploy.measuring.machine.memory import is_out_of_memory
from resnas_deploy.measuring.measurement import HOST, Configuration, Measurement
from resnas_deploy.measuring.plan import Plan
from resnas_deploy.measuring.reference import Workload
from resnas_deploy.measuring.report import Reference
from resnas_deploy.measuring.timing import ROUNDS, Timed, time_interleaved, timed
from resnas_deploy.processes import ending
from resnas_deploy.progress import Progress, part, silent


@dataclass(frozen=True)
class MeasuredPlan:
    """What all openings gave: measurements in the plan's order, and the reference workload's samples."""

    measurements: tuple[Measurement, ...]
    reference: Reference
    interrupted: bool


def measure_openings(
    plan: Plan,
    workload: Workload,
    rng: np.random.Generator,
    progress: Progress = silent,
    meters: Meters | None = None,
) -> MeasuredPlan:
    """Time the plan. What does not fit into memory is said in its measurement, and the rest goes on.

    Ctrl-C ends it early, with the samples that there are by then.
    """
    openings = _Openings(plan, workload, rng, progress, meters or Meters())
    interrupted = False
    try:
        for number in range(plan.openings):
            if interrupted := openings.run(number):
                break
            gc.collect()  # a runtime's memory goes back before the next opening asks for as much
    except KeyboardInterrupt:
        ending.taken()
        interrupted = True
    return MeasuredPlan(openings.measurements(), Reference(workload.name, tuple(openings.reference)), interrupted)


@dataclass
class _Series:
    """What the openings gave for one case so far."""

    configuration: Configuration
    samples: list[tuple[float, ...]] = field(default_factory=list)
    batches: list[tuple[float, ...]] = field(default_factory=list)  # of several streams, where their batches are timed
    warm_up: int = 0
    settled: bool = True
    failed: bool = False
    energy: tuple[Energy, ...] = ()

    def measurement(self, openings: int) -> Measurement:
        if self.failed:
            return Measurement(self.configuration, (), self.warm_up, settled=False, failure=OUT_OF_MEMORY)
        return Measurement(
            self.configuration,
            tuple(self.samples[:openings]),
            self.warm_up,
            settled=self.settled,
            energy=self.energy,
            batches_s=tuple(self.batches[:openings]) or None,
        )

    def guarded(self, step: Timed) -> Timed:
        """Return `step` until it runs out of memory, after which it does nothing: the other cases go on."""

        def once() -> float:
            if not self.failed:
                try:
                    return step()
                except Exception as error:  # each runtime has a class of its own for this
                    if not is_out_of_memory(error):
                        raise
                    self.failed = True
            return 0.0

        return once


def _batches(streams: Streams, warm_up: int, rounds: int) -> tuple[float, ...]:
    """Return the seconds of every batch in the rounds that count."""
    return tuple(seconds for call in streams.took[warm_up : warm_up + rounds] for seconds in call)


@dataclass
class _Openings:
    """The openings of a plan, and what they gave so far."""

    plan: Plan
    workload: Workload
    rng: np.random.Generator
    progress: Progress
    meters: Meters
    series: dict[Case, _Series] = field(default_factory=dict)
    reference: list[tuple[float, ...]] = field(default_factory=list)  # seconds, by opening

    def run(self, number: int) -> bool:
        """Open everything, time it, and close it again. Return whether that was interrupted.

        A function of its own, since a step keeps its runtime's memory for as long as anything refers to it.
        """
        with ExitStack() as stack:
            failed = {case for case, series in self.series.items() if series.failed}
            together: dict[Case, Streams] = {}
            progress = part(number, self.plan.openings, "opening", self.progress, counts=ROUNDS)
            steps = self._steps(open_cases(self.plan, failed, stack, progress), together)
            interleaved: dict[Case | None, Timed] = {None: timed(self.workload.step)}  # None is the reference
            interleaved |= {case: step for case, step in steps.items()}  # noqa: C416  another type of key
            rounds = time_interleaved(
                interleaved, self.plan.rounds(number), self.rng, warm_up=self.plan.warm_up, progress=progress
            )
            if rounds.samples[None]:
                for case in steps:
                    series = self.series[case]
                    series.samples.append(tuple(rounds.samples[case]))
                    series.warm_up += rounds.warm_up
                    series.settled &= case in rounds.settled or not self.plan.warm_up.can_tell
                    if case in together:
                        series.batches.append(_batches(together[case], rounds.warm_up, len(rounds.samples[case])))
                self.reference.append(tuple(rounds.samples[None]))  # last: from now on the opening counts
            if self.meters.found and number == self.plan.openings - 1 and not rounds.interrupted:
                self._measure_energy(steps)
            return rounds.interrupted

    def measurements(self) -> tuple[Measurement, ...]:
        """Return what is known of each case: its samples, or that it failed."""
        found = [series.measurement(len(self.reference)) for series in self.series.values()]
        return tuple(item for item in found if item.failure is not None or item.samples_s)

    def _steps(self, opened: Iterable[Ready], together: dict[Case, Streams]) -> dict[Case, Timed]:
        """Return the steps of the cases that can run. One that ran earlier and no longer does has failed too.

        Streams whose batches are timed are added to `together`.
        """
        steps: dict[Case, Timed] = {}
        for ready in opened:
            series = self.series.setdefault(ready.case, _Series(ready.configuration))
            if ready.step:
                steps[ready.case] = series.guarded(ready.step)
                if ready.together:
                    together[ready.case] = ready.together
            else:
                series.failed = True
        for case, series in self.series.items():  # a device's row is not even tried where the host's has failed
            series.failed |= case not in steps
        return steps

    def _measure_energy(self, steps: dict[Case, Timed]) -> None:
        for case, step in steps.items():
            if case.latency == HOST:
                series = self.series[case]
                self.progress(f"energy of {series.configuration}")
                series.energy = tuple(self.meters.measure(step, series.configuration.images))
