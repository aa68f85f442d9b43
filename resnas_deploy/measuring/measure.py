"""Measures a plan on this machine, and reports what was found with the machine and its state."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from resnas_deploy.measuring.extras import Extras, with_extras
from resnas_deploy.measuring.machine.conditions import Conditions
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.machine.energy import Meters, find_meters
from resnas_deploy.measuring.machine.memory import limited
from resnas_deploy.measuring.machine.observation import observe
from resnas_deploy.measuring.openings import measure_openings
from resnas_deploy.measuring.plan import Plan
from resnas_deploy.measuring.reference import reference_workload
from resnas_deploy.measuring.report import Reference, Report
from resnas_deploy.processes import ending
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.devices import CPU, index, is_gpu
from resnas_deploy.system import here


def measure(plan: Plan, extras: Extras, progress: Progress = silent) -> Report:
    """Measure the plan, interleaved with the reference workload of its device.

    Ctrl-C ends it early, with what there is by then.
    """
    cores = here.cores()
    device = device_of(plan)
    gpu = index(device) if is_gpu(device) else None
    machine = this_machine(usable_cores())
    meters = find_meters(gpu) if extras.energy else Meters()
    # A GPU's driver reserves far more memory than it uses.
    with limited() if gpu is None else nullcontext(), reference_workload(device, machine.cores) as workload:
        before = observe(cores, gpu)
        measured = measure_openings(plan, workload, np.random.default_rng(), progress, meters)
        conditions = Conditions.between(before, observe(cores, gpu))
    found = tuple(
        replace(item, figures=item.figured(measured.reference.samples_s)) if item.samples_s else item
        for item in measured.measurements
    )
    report = Report(machine, conditions, measured.reference, found, measured.interrupted)
    try:
        return report if report.interrupted else with_extras(report, plan, extras, progress)
    except KeyboardInterrupt:
        ending.taken()
        return replace(report, interrupted=True)


def nothing_measured(plan: Plan) -> Report:
    """Return the report of what was interrupted before anything was measured: the machine, and its state."""
    cores = here.cores()
    device = device_of(plan)
    gpu = index(device) if is_gpu(device) else None
    machine = this_machine(usable_cores())
    conditions = Conditions.between(observe(cores, gpu), observe(cores, gpu))
    return Report(machine, conditions, Reference("none", ()), (), interrupted=True)


def device_of(plan: Plan) -> str:
    """Return the device whose speed the plan's figures hang on: its first GPU, or the CPU."""
    return first_gpu(subject.kind.device(plan.device) for subject in plan.subjects)


def first_gpu(devices: Iterable[str]) -> str:
    """Return the first of the devices that is a GPU, or the CPU."""
    return next((device for device in devices if device != CPU), CPU)
