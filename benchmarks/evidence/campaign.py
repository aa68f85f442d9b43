"""Does the jobs that are not done yet, on this machine's cores or on Ray's workers, until the time is up."""

from __future__ import annotations

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from tabulated import ROOT

from evidence.job import Done, Found, Job
from evidence.state import State
from resnas_deploy.errors import BadInput, first_line
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.searching.pool import check_workers
from resnas_deploy.searching.ray_cluster import connected

CPU = "cpu"


@dataclass(frozen=True)
class Workers:
    """What jobs are handed to."""

    submit: Callable[[Job], Future[Done]]
    count: int
    device: str = CPU  # that they train on


def carried_out(job: Job, device: str = CPU) -> Done:
    """Do a job in this process; what trains does so on the device."""
    torch.set_num_threads(1)  # small networks: as many at once as there are cores is sooner than one after the other
    began = time.monotonic()
    found: Found = job.do(job.settings, device)
    seconds = round(time.monotonic() - began, 1)
    return Done(job.part, job.name, job.key, seconds, this_machine(usable_cores()).to_json(), found)


@contextmanager
def workers(named: str, count: int, device: str = CPU) -> Iterator[Workers]:
    """Yield processes of this machine, or those of `ray`, whose machines must have this checkout at the same path."""
    check_workers(named)
    if not named:
        context = multiprocessing.get_context("spawn")
        with ending_with_us(), ProcessPoolExecutor(count, mp_context=context) as pool:
            yield Workers(lambda job: pool.submit(carried_out, job, device), count, device)
        return
    if device != CPU:
        raise BadInput(f"`device` must be {CPU} with `workers` ray, found {device}; leave one of them out")
    path = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT)])
    with connected(named.partition(":")[2]) as ray:
        options = {"num_cpus": 1, "max_retries": 2, "runtime_env": {"env_vars": {"PYTHONPATH": path}}}
        remote = ray.remote(**options)(carried_out)
        yield Workers(lambda job: remote.remote(job).future(), int(ray.cluster_resources()["CPU"]))


def pace(jobs: Sequence[Job], done: Sequence[Done]) -> float:
    """Return how many times as long as was guessed the jobs took of which some are done, in the mean; NaN of none."""
    took = {one.key: one.seconds for one in done}
    found = [took[job.key] / job.seconds for job in jobs if job.key in took]
    return sum(found) / len(found) if found else math.nan


def carry_out(
    jobs: Sequence[Job],
    state: State,
    budget_s: float,
    at: Workers,
    told: Callable[[str], Any],
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Do those of a part's jobs that are not done, in order, and return how many failed.

    As many are done at once as there are workers, and none is begun that would not be done within the budget; but on
    another device than a CPU, of which the guesses say nothing, the first ones are. What wants the machine for itself
    waits until nothing else runs, and is done in this process. Each is kept as soon as it is done, and one that fails
    is told of and left.
    """
    done = [one for one in state.done() if one.key in {job.key for job in jobs}]
    waiting = [job for job in jobs if job.key not in {one.key for one in done}]
    running, failed, began = dict[Future[Done], Job](), 0, clock()

    def fits(job: Job) -> bool:
        factor = pace(jobs, done)
        if math.isnan(factor):
            factor = 1.0 if at.device == CPU else 0.0
        return clock() - began + job.seconds * factor <= budget_s

    def kept(job: Job, result: Callable[[], Done]) -> None:
        nonlocal failed
        try:
            one = result()
        except Exception as error:  # noqa: BLE001  whatever a job met, the others are worth as much without it
            failed += 1
            told(f"failed: {job.part}: {job.name}: {first_line(error)}")
            return
        state.add([one])
        done.append(one)
        told(f"{(clock() - began) / 60:5.1f} min  {one.part}: {one.name}, {one.seconds:.0f} s")

    try:
        while True:
            while waiting and len(running) < at.count and not (waiting[0].alone and running):
                if not fits(waiting[0]):
                    told(f"no time is left for {waiting[0].part}: {waiting[0].name}")
                    waiting.clear()
                    break
                job = waiting.pop(0)
                if job.alone:
                    kept(job, lambda job=job: carried_out(job))
                else:
                    running[at.submit(job)] = job
            if not running:
                return failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                kept(running.pop(future), future.result)
    finally:
        for future in running:
            future.cancel()
