"""A whole search, from the supernet's file to the winner's: what `resnas search` does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.data.accuracy import note_chance
from resnas_deploy.data.source import DEMO
from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import atomic_file, check_writable
from resnas_deploy.files.locks import claiming
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.plots import check_plot
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.finalists import Finalist, Place, measure_finalists, winner
from resnas_deploy.searching.iterations import Found, Search, run
from resnas_deploy.searching.limits import Cost, Limit, Limits, limit_of
from resnas_deploy.searching.pool import check_workers, opened_pool
from resnas_deploy.searching.prepare import (
    ScorerSource,
    held_out_images,
    latency_cost,
    macs_cost,
    parameters_cost,
    space_of,
)
from resnas_deploy.searching.report import FRONT, write_report
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.weights.checkpoint import Checkpoint, load, save

ARCH, CHECKPOINT, MEASURED, STATE, FINALISTS = (
    "arch.json",
    "checkpoint.safetensors",
    "measured.json",
    "search.sqlite",
    "finalists",
)
_TAKEN = "give --resume to go on with a search there, or choose another --out"
_BILLIONS = {"G": 1.0, "M": 1e-3, "": 1e-9}
_MILLIONS = {"G": 1e3, "M": 1.0, "": 1e-6}
_MILLISECONDS = {"s": 1e3, "ms": 1.0, "us": 1e-3}


@dataclass(frozen=True)
class Job:
    """A search as it is asked for. Limits are as text: a quantity, or per cent of the widest subnet's; "" is none."""

    supernet: Path
    data: str
    out: Path
    max_macs: str
    max_parameters: str
    max_latency: str
    evolution: Evolution
    place: Place  # where latency is limited, and finalists are measured
    latency_model: Callable[[str], tuple[LatencyModel, str]]  # of a space by name, and what tells it from others
    finalists: int
    early_stopping: bool
    eval_batch: int
    eval_device: str
    workers: str
    seed: int
    resume: bool


@dataclass(frozen=True)
class Outcome:
    """What came out."""

    space: str
    found: Found
    finalists: tuple[Finalist, ...]  # best first
    winner: Finalist
    costs: tuple[Cost, ...]
    within_limit: bool  # of latency, as measured
    unsaved: BadInput | None  # why not all of it could be written, where it could not


def carry_out(job: Job, tell: Callable[[str], None]) -> Outcome:
    """Search, export and measure the finalists, write the winner and the report into `job.out`. Raises `BadInput`."""
    if not (job.max_macs or job.max_parameters or job.max_latency or job.evolution.pareto):
        raise BadInput(
            "there must be a limit, or the widest subnet would win, found none; "
            "give --max-macs, --max-parameters, --max-latency or --pareto"
        )
    if job.out.exists() and (not job.out.is_dir() or any(job.out.iterdir())) and not job.resume:
        raise BadInput(f"{job.out} exists; {_TAKEN}")
    check_plot(job.out / FRONT)
    check_workers(job.workers)
    supernet = load(job.supernet)
    space = space_of(supernet, job.supernet)
    images = held_out_images(supernet, job.supernet, job.data)
    costs: list[Cost] = []
    limits: list[Limit] = []
    measured, most_ms = "", None
    if job.max_latency or job.evolution.pareto:
        model, measured = job.latency_model(space.name)
        costs.append(latency_cost(model, space))
        if job.max_latency:
            limits.append(limit_of(costs[0], job.max_latency, _MILLISECONDS, "--max-latency", space))
            most_ms = limits[0].most
    if job.max_macs:
        limits.append(limit_of(macs_cost(), job.max_macs, _BILLIONS, "--max-macs", space))
    if job.max_parameters:
        limits.append(limit_of(parameters_cost(), job.max_parameters, _MILLIONS, "--max-parameters", space))
    costs += [macs_cost(), parameters_cost()]
    search = Search(
        space=space,
        supernet=supernet.digest,
        data=job.data,
        held_out=len(images.labels),
        limits=Limits(tuple(limits)),
        costs=tuple(costs),
        evolution=job.evolution,
        seed=job.seed,
        early_stopping=job.early_stopping,
        measured=measured,
    )
    search.limits.within(space)  # before anything is written
    there = job.data if job.data == DEMO else str(Path(job.data).resolve())  # workers have another working directory
    scorer = ScorerSource(job.supernet.resolve(), there, job.eval_batch, job.eval_device)
    with claiming(job.out, resume=job.resume, taken=_TAKEN):
        outcome = _searched(job, search, scorer, supernet, costs, most_ms, tell)
    best = max((item.score for item in outcome.found.candidates), key=lambda score: score.accuracy)
    what = "the accuracy of the best subnet"
    note_chance(best.correct, best.seen, images.labels, images.class_names, what)
    return outcome


def _searched(
    job: Job,
    search: Search,
    scorer: ScorerSource,
    supernet: Checkpoint,
    costs: Sequence[Cost],
    most_ms: float | None,
    tell: Callable[[str], None],
) -> Outcome:
    """Search, measure and write in a folder that is there. What cannot be written at the end is told in the outcome."""
    check_writable(job.out / CHECKPOINT)
    with SearchStore(job.out / STATE, search.identity) as store, opened_pool(job.workers, scorer) as pool:
        found = run(search, store, pool, tell)
    finalists, report = measure_finalists(
        found.finalists(job.finalists), supernet, job.place, job.out / FINALISTS, tell
    )
    best = winner(finalists, most_ms)
    unsaved = None
    try:
        with atomic_file(job.out / ARCH) as partial:
            partial.write_text(json.dumps(best.checkpoint.arch.to_json(), indent=1) + "\n")
        save(best.checkpoint, job.out / CHECKPOINT)
        report.write(job.out / MEASURED)
        write_report(found.candidates, finalists, costs, job.out)
    except BadInput as error:
        unsaved = error
    within = most_ms is None or (best.measured_ms is not None and best.measured_ms <= most_ms)
    return Outcome(search.space.name, found, tuple(finalists), best, tuple(costs), within, unsaved)
