"""One session of measuring: everything that a plan names, in turns with the reference workload."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np

from resnas_deploy.measuring.cases import OUT_OF_MEMORY, Case, Ready, open_cases
from resnas_deploy.measuring.machine.energy import Energy, EnergyMeter, measure_energy
from resnas_deploy.measuring.machine.memory import is_out_of_memory
from resnas_deploy.measuring.measurement import HOST, Configuration, Measurement
from resnas_deploy.measuring.plan import Plan
from resnas_deploy.measuring.reference import Workload
from resnas_deploy.measuring.report import Reference
from resnas_deploy.measuring.timing import Timed, after, time_interleaved, timed
from resnas_deploy.processes import ending


@dataclass(frozen=True)
class Outcome:
    """What a session gave: measurements in the plan's order, and the reference workload's samples."""

    measurements: tuple[Measurement, ...]
    reference: Reference
    interrupted: bool


@dataclass
class _Series:
    """What the openings gave for one case so far."""

    configuration: Configuration
    samples: list[tuple[float, ...]] = field(default_factory=list)
    warm_up: int = 0
    settled: bool = True
    failed: bool = False
    energy: tuple[Energy, ...] = ()

    def measurement(self, openings: int) -> Measurement:
        if self.failed:
            return Measurement(self.configuration, (), self.warm_up, settled=False, failure=OUT_OF_MEMORY)
        samples = tuple(self.samples[:openings])
        return Measurement(self.configuration, samples, self.warm_up, settled=self.settled, energy=self.energy)

    def guarded(self, step: Timed) -> Timed:
        """`step` until it runs out of memory, after which it does nothing: the other cases go on."""

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


def measure_openings(
    plan: Plan,
    workload: Workload,
    rng: np.random.Generator,
    tell: Callable[[str], None] = lambda _: None,
    meters: Sequence[EnergyMeter] = (),
) -> Outcome:
    """Run the plan. What does not fit into memory is said in its measurement, and the rest goes on.

    Ctrl-C ends it early, with the samples that there are by then.
    """
    found: dict[Case, _Series] = {}
    reference: list[tuple[float, ...]] = []
    interrupted = False
    try:
        for opening in range(plan.openings):
            if interrupted := _run_opening(plan, opening, workload, rng, found, reference, tell, meters):
                break
            gc.collect()  # a runtime's memory goes back before the next opening asks for as much
    except KeyboardInterrupt:
        ending.taken()
        interrupted = True
    measurements = [series.measurement(len(reference)) for series in found.values()]
    return Outcome(
        tuple(item for item in measurements if item.failure is not None or item.samples_s),
        Reference(workload.name, tuple(reference)),
        interrupted,
    )


def _run_opening(
    plan: Plan,
    opening: int,
    workload: Workload,
    rng: np.random.Generator,
    found: dict[Case, _Series],
    reference: list[tuple[float, ...]],
    tell: Callable[[str], None],
    meters: Sequence[EnergyMeter],
) -> bool:
    """Add the samples of one opening to `found` and `reference`; whether it was interrupted.

    A function of its own, since a step keeps its runtime's memory for as long as anything refers to it.
    """
    with ExitStack() as stack:
        failed = {case for case, series in found.items() if series.failed}
        steps = _opened(open_cases(plan, failed, stack, tell), found)
        turns: dict[Case | None, Timed] = {None: timed(workload.step)}  # None is the reference
        turns |= {case: step for case, step in steps.items()}  # noqa: C416  another type of key
        heading = f"opening {opening + 1} of {plan.openings}, "
        rounds = time_interleaved(turns, plan.rounds(opening), rng, tell=after(heading, tell))
        if rounds.samples[None]:
            for case in steps:
                series = found[case]
                series.samples.append(tuple(rounds.samples[case]))
                series.warm_up += rounds.warm_up
                series.settled &= case in rounds.settled
            reference.append(tuple(rounds.samples[None]))  # last: from now on the opening counts
        if meters and opening == plan.openings - 1 and not rounds.interrupted:
            _measure_energy(steps, found, meters, tell)
        return rounds.interrupted


def _opened(opened: Iterable[Ready], found: dict[Case, _Series]) -> dict[Case, Timed]:
    """The steps of the cases that can run. One that ran in an earlier opening and no longer does has failed too."""
    steps: dict[Case, Timed] = {}
    for ready in opened:
        series = found.setdefault(ready.case, _Series(ready.configuration))
        if ready.step:
            steps[ready.case] = series.guarded(ready.step)
        else:
            series.failed = True
    for case, series in found.items():  # a device's row is not even tried where the host's has failed
        series.failed |= case not in steps
    return steps


def _measure_energy(
    steps: dict[Case, Timed], found: dict[Case, _Series], meters: Sequence[EnergyMeter], tell: Callable[[str], None]
) -> None:
    for case, step in steps.items():
        if case.latency == HOST:
            configuration = found[case].configuration
            tell(f"energy of {configuration}")
            found[case].energy = tuple(measure_energy(step, configuration.images, meters))
