"""A whole search, from the supernet's file to the winner's: what `search` of the API does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.data.accuracy import note_chance
from resnas_deploy.data.source import DEMO
from resnas_deploy.errors import BadInput, ResnasError, StorageError
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.outputs import check_new_folder, check_writable, claiming
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import stored_model
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import usual_store
from resnas_deploy.measuring.plots import check_plot
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching.costs import (
    Bounds,
    CostKind,
    CostLimit,
    CostLimits,
    latency_cost,
    macs_cost,
    parameters_cost,
)
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.finalists import Finalist, measure_finalists, winner
from resnas_deploy.searching.iterations import EvaluatedSubnets, SearchProblem, iterate
from resnas_deploy.searching.pool import ScorerSource, check_workers, held_out_images, opened_pool
from resnas_deploy.searching.report import FRONT, write_report
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.weights.checkpoint import Checkpoint, load, save
from resnas_deploy.weights.space_files import supernet_space

ARCH, CHECKPOINT, MEASURED, STATE, FINALISTS = (
    "arch.json",
    "checkpoint.safetensors",
    "measured.json",
    "search.sqlite",
    "finalists",
)
_TAKEN = "give `resume` to go on with a search there, or choose another `out`"


@dataclass(frozen=True)
class Scoring:
    """How candidates are scored."""

    early_stopping: bool = True
    batch: int = 100  # images at once
    device: str = ""  # "": a GPU where there is one
    workers: str = ""  # ray, or ray:ADDRESS; "": this process
    halving: bool = False


@dataclass(frozen=True)
class SearchRequest:
    """A search as it is asked for."""

    supernet: Path
    data: str
    out: Path
    bounds: Bounds
    setup: Setup  # how latency is limited, and finalists are measured
    evolution: Evolution = field(default_factory=Evolution)
    predictor: bool = False
    scoring: Scoring = field(default_factory=Scoring)
    finalists: int = 3
    seed: int = 0
    resume: bool = False
    store: Path | None = None  # that has the latency model; None: the user's own
    model: LatencyModel | None = None  # instead of the store's

    def __post_init__(self) -> None:
        bounds = self.bounds
        if not (bounds.macs or bounds.parameters or bounds.latency or self.evolution.pareto):
            raise BadInput(
                "no limit given: the widest subnet would always win; "
                "give `max_macs`, `max_parameters`, `max_latency` or `pareto`"
            )
        for name, value in {"finalists": self.finalists, "eval_batch": self.scoring.batch}.items():
            if value < 1:
                raise BadInput(f"`{name}` must be 1 or more, found {value}")
        if self.scoring.halving and not self.scoring.early_stopping:
            raise BadInput("there must be one of `halving` and `evaluate_fully`, found both")
        if self.seed < 0:
            raise BadInput(f"`seed` must be 0 or more, found {self.seed}")


@dataclass(frozen=True)
class SearchResult:
    """What a search found."""

    out: Path
    space: str
    evaluated: EvaluatedSubnets
    finalists: tuple[Finalist, ...]  # best first
    winner: Finalist
    costs: tuple[CostKind, ...]
    within_limit: bool  # of latency, as measured
    unsaved: ResnasError | None  # why not all of it could be written, where it could not


@dataclass(frozen=True)
class _Prepared:
    """A search that was checked before any work."""

    supernet: Checkpoint
    problem: SearchProblem
    scorer: ScorerSource
    most_ms: float | None  # that a finalist may take


def search(request: SearchRequest, progress: Progress = silent) -> SearchResult:
    """Search, export and measure the finalists, write the winner and the report into the folder `out`.

    Raise `BadInput`; `VerificationFailed` where a finalist's graph is wrong.
    """
    out = request.out
    check_new_folder(out, resume=request.resume, remedy=_TAKEN)
    check_plot(out / FRONT)
    check_workers(request.scoring.workers)
    supernet = load(request.supernet)
    space = supernet_space(supernet, request.supernet)
    images = held_out_images(supernet, request.supernet, request.data)
    prepared = _prepare(request, supernet, space, len(images.labels))
    with claiming(out, resume=request.resume, remedy=_TAKEN):
        found = _carry_out(request, prepared, progress)
    best = max((item.score for item in found.evaluated.candidates), key=lambda score: score.accuracy)
    what = "the accuracy of the best subnet"
    note_chance(best.correct, best.seen, images.labels, images.class_names, what)
    return found


def _prepare(request: SearchRequest, supernet: Checkpoint, space: SearchSpace, images: int) -> _Prepared:
    """Turn what was asked for into costs and limits. Raise `BadInput` where no subnet meets them."""
    bounds, costs, limits = request.bounds, list[CostKind](), list[CostLimit]()
    measured, most_ms = "", None
    if bounds.latency or request.evolution.pareto:
        model = request.model or stored_model(space, request.setup, request.store or usual_store())
        measured = model.identity
        costs.append(latency_cost(model, space))
        if bounds.latency:
            limits.append(bounds.latency.limit(costs[0], space))
            most_ms = limits[0].most
    for bound, cost in ((bounds.macs, macs_cost()), (bounds.parameters, parameters_cost())):
        costs.append(cost)
        if bound:
            limits.append(bound.limit(cost, space))
    problem = SearchProblem(
        space=space,
        supernet=supernet.digest,
        data=request.data,
        held_out=images,
        limits=CostLimits(tuple(limits)),
        costs=tuple(costs),
        evolution=request.evolution,
        seed=request.seed,
        early_stopping=request.scoring.early_stopping,
        measured=measured,
        halving=request.scoring.halving,
        predictor=request.predictor,
    )
    problem.limits.within(space)  # before anything is written
    # Workers have another working directory.
    data = request.data if request.data == DEMO else str(Path(request.data).resolve())
    scoring = request.scoring
    # Ray's workers have a core each.
    decoding = 0 if scoring.workers else None
    scorer = ScorerSource(request.supernet.resolve(), data, scoring.batch, scoring.device, decoding)
    if not request.scoring.workers:  # which may have other devices
        scorer.place()
    return _Prepared(supernet, problem, scorer, most_ms)


def _carry_out(request: SearchRequest, prepared: _Prepared, progress: Progress) -> SearchResult:
    """Search, measure and write in a folder that is there. What cannot be written at the end is in the result."""
    out, problem, most_ms = request.out, prepared.problem, prepared.most_ms
    check_writable(out / CHECKPOINT)
    store = SearchStore(out / STATE, problem.identity)
    with store, opened_pool(request.scoring.workers, prepared.scorer) as pool:
        evaluated = iterate(problem, store, pool, progress)
    chosen = evaluated.finalists(request.finalists)
    finalists, report = measure_finalists(chosen, prepared.supernet, request.setup, out / FINALISTS, progress)
    best = winner(finalists, most_ms)
    unsaved: ResnasError | None = None
    try:
        with atomic_file(out / ARCH) as partial:
            partial.write_text(json.dumps(best.checkpoint.arch.to_json(), indent=1) + "\n")
        save(best.checkpoint, out / CHECKPOINT)
        report.write(out / MEASURED)
        write_report(evaluated.candidates, finalists, problem.costs, out)
    except (BadInput, StorageError) as error:
        unsaved = error
    return SearchResult(
        out=out,
        space=problem.space.name,
        evaluated=evaluated,
        finalists=tuple(finalists),
        winner=best,
        costs=problem.costs,
        within_limit=best.within(most_ms),
        unsaved=unsaved,
    )
