"""Runs a plan on this machine, and reports what was measured with the machine and its state."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resnas_deploy.arch.cost import BYTES
from resnas_deploy.errors import BadInput, NotAvailable, StorageError
from resnas_deploy.measuring.interleaved import measure
from resnas_deploy.measuring.machine.conditions import Conditions
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.machine.energy import find_meters
from resnas_deploy.measuring.machine.memory import is_out_of_memory, limited
from resnas_deploy.measuring.machine.observation import observe
from resnas_deploy.measuring.machine.roofline import Ceiling, ceiling, minimum_seconds
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.reference import reference_workload
from resnas_deploy.measuring.report import Report
from resnas_deploy.measuring.shares import shares
from resnas_deploy.processes import ending
from resnas_deploy.runners.base import CPU, Options, usable_cores


@dataclass(frozen=True)
class Extras:
    """What to find out beside the times."""

    energy: bool = False
    shares: bool = False
    ceilings: Path | None = None  # the folder of their cache; None: no ceilings
    note: Callable[[str], None] = lambda _: None  # hears what could not be found out or kept


def run(plan: Plan, extras: Extras, tell: Callable[[str], None] = lambda _: None) -> Report:
    """Measure the plan, in turns with the reference workload of its device."""
    cores = os.sched_getaffinity(0)
    device = device_of(plan)
    gpu = None if device == CPU else int(device.partition(":")[2])
    machine = this_machine(usable_cores())
    meters = find_meters(gpu).found if extras.energy else ()
    # A GPU's driver reserves far more memory than it uses.
    with limited() if gpu is None else nullcontext(), reference_workload(device, machine.cores) as workload:
        before = observe(cores, gpu)
        outcome = measure(plan, workload, np.random.default_rng(), tell, meters)
        conditions = Conditions.between(before, observe(cores, gpu))
    found = tuple(
        replace(item, figures=item.figured(outcome.reference.samples_s)) if item.samples_s else item
        for item in outcome.measurements
    )
    report = Report(machine, conditions, outcome.reference, found, outcome.interrupted)
    try:
        return report if report.interrupted else _with_extras(report, plan, extras, tell)
    except KeyboardInterrupt:
        ending.taken()
        return replace(report, interrupted=True)


def device_of(plan: Plan) -> str:
    """The device whose speed the plan's figures hang on: its first GPU, or the CPU."""
    devices = [subject.kind.device(plan.device) for subject in plan.subjects]
    return next((device for device in devices if device != CPU), CPU)


def _with_extras(report: Report, plan: Plan, extras: Extras, tell: Callable[[str], None]) -> Report:
    if extras.shares:
        report = replace(
            report, measurements=tuple(_with_shares(plan, item, extras, tell) for item in report.measurements)
        )
    if folder := extras.ceilings:
        known: dict[tuple[str, str], Ceiling] = {}  # which a cache that cannot be written does not keep
        found = tuple(_under(report, plan, item, folder, known, tell, extras.note) for item in report.measurements)
        report = replace(report, measurements=found)
    return report


def _subject(plan: Plan, item: Measurement) -> Subject:
    wanted = (item.configuration.source, item.configuration.runner)
    return next(subject for subject in plan.subjects if (subject.network.source, subject.kind.name) == wanted)


def _with_shares(plan: Plan, item: Measurement, extras: Extras, tell: Callable[[str], None]) -> Measurement:
    """The share of time by kind of block, where the runtime can tell and memory and the disk allow."""
    subject, configuration = _subject(plan, item), item.configuration
    if item.failure is not None or configuration.streams > 1:
        return item
    tell(f"where the time goes: {configuration}")
    options = Options(configuration.threads, device=plan.device, profile=True)
    try:
        return replace(item, shares=shares(subject.network, subject.kind, configuration.batch, options))
    except (BadInput, StorageError) as error:  # what was timed is worth more than this
        extras.note(f"where the time goes could not be found out: {error}")
        return item
    except Exception as error:  # each runtime has a class of its own for this
        if not is_out_of_memory(error):
            raise
        return item


def _under(
    report: Report,
    plan: Plan,
    item: Measurement,
    folder: Path,
    known: dict[tuple[str, str], Ceiling],
    tell: Callable[[str], None],
    note: Callable[[str], None],
) -> Measurement:
    """The least time that this machine could take, where the network is one of ours."""
    subject, configuration = _subject(plan, item), item.configuration
    arch = subject.network.arch
    if item.failure is not None or arch is None or configuration.computes not in BYTES:
        return item
    device = subject.kind.device(plan.device)
    key = device, configuration.computes
    try:
        top = known.get(key) or ceiling(report.machine, *key, plan.threads, folder, tell, note=note)
    except NotAvailable as error:
        tell(str(error))
        return item
    known[key] = top
    least = minimum_seconds(arch, configuration.batch, configuration.precision, top)
    return replace(item, ceiling_ms=1e3 * least * configuration.images / configuration.batch, ceiling_from=top.flops_by)
