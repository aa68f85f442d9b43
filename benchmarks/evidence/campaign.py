"""Does the jobs that are not done yet, on this machine's cores or on Ray's workers, until the time is up."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch

from evidence.job import Done, Found, Job
from evidence.state import State
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.searching.pool import check_workers
from resnas_deploy.searching.ray_cluster import connected

Submit = Callable[[Job], "Future[Done]"]


def carried_out(job: Job, device: str = "cpu") -> Done:
    """Do a job in this process; what trains does so on the device."""
    torch.set_num_threads(1)  # small networks: as many at once as there are cores is sooner than one after the other
    torch.manual_seed(0)
    began = time.monotonic()
    found: Found = job.do(job.settings, device)
    seconds = round(time.monotonic() - began, 1)
    return Done(job.part, job.name, job.key, seconds, this_machine(usable_cores()).to_json(), found)


@contextmanager
def workers(named: str, count: int, device: str = "cpu") -> Iterator[tuple[Submit, int]]:
    """Yield what hands a job to a worker, and how many there are: processes of this machine, or those of `ray`."""
    check_workers(named)
    if not named:
        context = multiprocessing.get_context("spawn")
        with ending_with_us(), ProcessPoolExecutor(count, mp_context=context) as pool:
            yield lambda job: pool.submit(carried_out, job, device), count
        return
    with connected(named.partition(":")[2]) as ray:
        remote = ray.remote(num_cpus=1, max_retries=2)(carried_out)
        yield lambda job: remote.remote(job, device).future(), int(ray.cluster_resources()["CPU"])


def pace(jobs: Sequence[Job], done: Sequence[Done]) -> float:
    """Return how many times as long as was guessed the jobs took of which some are done, in the mean."""
    took = {one.key: one.seconds for one in done}
    found = [took[job.key] / job.seconds for job in jobs if job.key in took]
    return sum(found) / len(found) if found else 1.0


def carry_out(
    jobs: Sequence[Job],
    state: State,
    budget_s: float,
    submit: Submit,
    count: int,
    told: Callable[[str], Any],
    clock: Callable[[], float] = time.monotonic,
) -> int:
    """Do those of a part's jobs that are not done, in order, and return how many are left.

    As many are done at once as there are workers, and none is begun that would not be done within the budget. What
    wants the machine for itself waits until nothing else runs, and is done in this process. Each is kept as soon as it
    is done.
    """
    there = {one.key for one in state.done()}
    waiting, running = [job for job in jobs if job.key not in there], dict[Future[Done], Job]()
    began = clock()

    def fits(job: Job) -> bool:
        return clock() - began + job.seconds * pace(jobs, state.done()) <= budget_s

    def kept(done: Done) -> None:
        state.add([done])
        told(f"{(clock() - began) / 60:5.1f} min  {done.part}: {done.name}, {done.seconds:.0f} s")

    try:
        while True:
            while waiting and len(running) < count and not (waiting[0].alone and running):
                job = waiting.pop(0)
                if not fits(job):
                    told(f"no time is left for {job.part}: {job.name}")
                    waiting.insert(0, job)
                    break
                if job.alone:
                    kept(carried_out(job))
                else:
                    running[submit(job)] = job
            if not running:
                return len(waiting)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                del running[future]
                kept(future.result())
    finally:
        for future in running:
            future.cancel()
