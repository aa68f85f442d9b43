"""A whole search, from the supernet's file to the winner's: what `search` of the API does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.data.accuracy import note_chance
from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.data.source import DEMO
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import check_new_folder, check_writable, claiming
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import profiled_batches, stored_model
from resnas_deploy.measuring.latency.setup import Setting, Setup
from resnas_deploy.measuring.latency.store import usual_store
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.plots import check_plot
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.searching.costs import Bounds
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.exported import Exporter
from resnas_deploy.searching.finish import CHECKPOINT, STATE, finished
from resnas_deploy.searching.iterations import SearchProblem, iterate
from resnas_deploy.searching.limits import Priced, Promise, check_choice, priced
from resnas_deploy.searching.pool import ScorerSource, check_workers, held_out_images, opened_pool
from resnas_deploy.searching.report import FRONT
from resnas_deploy.searching.result import SearchResult
from resnas_deploy.searching.rounds import Rounds
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.weights.checkpoint import Checkpoint, load
from resnas_deploy.weights.resize import resize
from resnas_deploy.weights.space_files import supernet_space

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
    tries: int = 12  # finalists that are measured at most, where none keeps the limit
    seed: int = 0
    resume: bool = False
    store: Path | None = None  # that has the latency model; None: the user's own
    model: LatencyModel | None = None  # instead of the store's
    promise: Promise = field(default_factory=Promise)  # what a limit on latency speaks of
    any_batch: bool = False  # that was profiled, instead of the setup's, where a throughput is limited
    image_size: int | None = None  # of candidates and finalists; None: the supernet's own

    def __post_init__(self) -> None:
        if not (self.bounds or self.evolution.pareto):
            raise BadInput(
                "no limit given: the widest subnet would always win; give `max_macs`, `max_parameters`, `max_latency`, "
                "`min_throughput`, `max_memory`, `max_energy` or `pareto`"
            )
        for name, value in {"finalists": self.finalists, "tries": self.tries, "eval_batch": self.scoring.batch}.items():
            if value < 1:
                raise BadInput(f"`{name}` must be 1 or more, found {value}")
        if self.scoring.halving and not self.scoring.early_stopping:
            raise BadInput("there must be one of `halving` and `evaluate_fully`, found both")
        if self.seed < 0:
            raise BadInput(f"`seed` must be 0 or more, found {self.seed}")

    def load_supernet(self) -> tuple[Checkpoint, SearchSpace]:
        """Read the supernet and its space, for images of the size that was asked for."""
        supernet = load(self.supernet)
        space = supernet_space(supernet, self.supernet)
        if self.image_size is None:
            return supernet, space
        return resize(supernet, self.image_size), space.with_image_size(self.image_size)

    def setups(self, space: SearchSpace) -> list[Setup]:
        """Return those that the search may choose among."""
        batches: Sequence[int] = ()
        if self.any_batch and self.bounds.throughput and not self.model:
            batches = profiled_batches(space, self.setup, self.store or usual_store())
        return [replace(self.setup, batch=batch) for batch in batches] or [self.setup]


@dataclass(frozen=True)
class _Prepared:
    """A search that was checked before any work."""

    supernet: Checkpoint
    problem: SearchProblem
    scorer: ScorerSource
    images: LabelledImages  # that candidates are scored on
    priced: Priced

    @property
    def setting(self) -> Setting:
        """Return what finalists are measured in; its machine and version are empty where any will do."""
        model = self.priced.model
        return model.setting if model else replace(self.priced.setup.setting(), machine="", version="")

    @property
    def elsewhere(self) -> bool:
        """Tell whether that is another machine than this one."""
        return self.setting.machine not in ("", this_machine(usable_cores()).slug)


def search(request: SearchRequest, progress: Progress = silent) -> SearchResult:
    """Search, export and measure the finalists, write the winner and the report into the folder `out`.

    By a latency model of another machine it ends with the finalists, which are measured there (`searching.measured`),
    and then chosen from (`searching.finish`).

    Raise `BadInput`; `VerificationFailed` where a finalist's graph is wrong.
    """
    out = request.out
    check_new_folder(out, resume=request.resume, remedy=_TAKEN)
    check_plot(out / FRONT)
    check_workers(request.scoring.workers)
    supernet, space = request.load_supernet()
    images = held_out_images(supernet, request.supernet, request.data)
    prepared = _prepare(request, supernet, space, images, progress)
    with claiming(out, resume=request.resume, remedy=_TAKEN):
        found = _carry_out(request, prepared, progress)
    best = max((item.score for item in found.evaluated.candidates), key=lambda score: score.accuracy)
    what = "the accuracy of the best subnet"
    note_chance(best.correct, best.seen, images.labels, images.class_names, what)
    return found


def _prepare(
    request: SearchRequest, supernet: Checkpoint, space: SearchSpace, images: LabelledImages, progress: Progress
) -> _Prepared:
    """Turn what was asked for into costs and limits. Raise `BadInput` where no subnet meets them."""
    check_choice(space)

    def model(setup: Setup) -> LatencyModel:
        return request.model or stored_model(space, setup, request.store or usual_store())

    found = priced(
        space,
        request.bounds,
        request.promise,
        request.setups(space),
        model,
        always_latency=request.evolution.pareto,
        progress=progress,
    )
    problem = SearchProblem(
        space=space,
        supernet=supernet.digest,
        data=request.data,
        held_out=len(images.labels),
        limits=found.limits,
        costs=found.costs,
        evolution=request.evolution,
        seed=request.seed,
        early_stopping=request.scoring.early_stopping,
        measured=found.model.identity if found.model else "",
        halving=request.scoring.halving,
        predictor=request.predictor,
    )
    # Workers have another working directory.
    data = request.data if request.data == DEMO else str(Path(request.data).resolve())
    scoring = request.scoring
    # Ray's workers have a core each.
    decoding = 0 if scoring.workers else None
    scorer = ScorerSource(request.supernet.resolve(), data, scoring.batch, scoring.device, decoding, request.image_size)
    if not request.scoring.workers:  # which may have other devices
        scorer.place()
    return _Prepared(supernet, problem, scorer, images, found)


def _carry_out(request: SearchRequest, prepared: _Prepared, progress: Progress) -> SearchResult:
    """Search, export and measure in a folder that is there. What cannot be written at the end is in the result."""
    out, problem = request.out, prepared.problem
    check_writable(out / CHECKPOINT)
    store = SearchStore(out / STATE, problem.identity)
    with store, opened_pool(request.scoring.workers, prepared.scorer) as pool:
        evaluated = iterate(problem, store, pool, progress)
    rounds = Rounds(
        problem=problem,
        evaluated=evaluated,
        exporter=Exporter(prepared.supernet, prepared.priced.setup, prepared.images, out),
        setting=prepared.setting,
        limits=prepared.priced.measured,
        together=request.finalists,
        most=request.tries,
    )
    if prepared.elsewhere:
        return finished(out, rounds.for_elsewhere(progress), None)
    return finished(out, *rounds.measured_here(progress))
