"""A whole search, from the supernet's file to the winner's: what `search` of the API does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.data.accuracy import note_chance
from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import check_new_folder, check_writable, claiming
from resnas_deploy.measuring.latency.elsewhere import Elsewhere, batches_of, model_of
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.profile import profiled_batches, stored_model
from resnas_deploy.measuring.latency.setup import Setting, Setup
from resnas_deploy.measuring.latency.store import usual_store
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.plots import check_plot
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.searching.costs import Bounds
from resnas_deploy.searching.estimate import note_estimate
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.exported import Exporter, check_exportable
from resnas_deploy.searching.finish import CHECKPOINT, STATE, finished
from resnas_deploy.searching.held_out import HeldOutSource, in_random_order
from resnas_deploy.searching.iterations import SearchProblem, iterate
from resnas_deploy.searching.limits import Priced, Promise, check_choice, priced
from resnas_deploy.searching.pool import ScorerSource, check_workers, opened_pool
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


@dataclass(frozen=True)
class SearchRequest:
    """A search as it is asked for."""

    supernet: Path
    held_out: HeldOutSource
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
    latency_of: Elsewhere | None = None  # a machine whose profile takes the place of `setup`
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
        if self.seed < 0:
            raise BadInput(f"`seed` must be 0 or more, found {self.seed}")

    def load_supernet(self) -> tuple[Checkpoint, SearchSpace]:
        """Read the supernet and its space, for images of the size that was asked for."""
        supernet = load(self.supernet)
        space = supernet_space(supernet, self.supernet)
        if self.image_size is None:
            return supernet, space
        return resize(supernet, self.image_size), space.with_image_size(self.image_size)


@dataclass(frozen=True)
class PreparedSearch:
    """A search that was checked before any work."""

    supernet: Checkpoint
    problem: SearchProblem
    scorer: ScorerSource
    priced: Priced
    setting: Setting  # that finalists are measured in; its machine and version are empty where any will do

    @property
    def elsewhere(self) -> bool:
        """Tell whether that is another machine than this one."""
        return bool(self.setting.machine) and not this_machine(usable_cores()).is_called(self.setting.machine)


def search(request: SearchRequest, progress: Progress = silent) -> SearchResult:
    """Search, export and measure the finalists, write the winner and the report into the folder `out`.

    By a latency model of another machine it ends with the finalists, which are measured there (`searching.measured`),
    and then chosen from (`searching.finish`).

    Raise `BadInput`; `VerificationFailed` where a finalist's graph is wrong.
    """
    prepared = prepare(request, progress)
    with claiming(request.out, resume=request.resume, remedy=_TAKEN):
        found = _carry_out(request, prepared, progress)
    images = prepared.scorer.images
    best = max(
        (item.score for item in found.evaluated.best if not item.score.stopped), key=lambda score: score.accuracy
    )
    what = "the accuracy of the best subnet"
    note_chance(best.correct, best.seen, images.labels, images.class_names, what)
    return found


def prepare(request: SearchRequest, progress: Progress = silent) -> PreparedSearch:
    """Check all that can be checked before any work, and return what is needed for it. Raise `BadInput`."""
    out = request.out
    check_new_folder(out, resume=request.resume, remedy=_TAKEN)
    check_plot(out / FRONT)
    check_workers(request.scoring.workers)
    progress("reading the supernet and the images")
    supernet, space = request.load_supernet()
    images = in_random_order(request.held_out.images(supernet, request.supernet))
    return _prepare(request, supernet, space, images, progress)


@dataclass(frozen=True)
class _Setups:
    """The setups that a search may choose among, which differ in their batch size, and the latency model of each."""

    setups: Sequence[Setup]
    model: Callable[[Setup], LatencyModel]
    elsewhere: bool  # whether they are another machine's, or may be


def _setups(request: SearchRequest, space: SearchSpace) -> _Setups:
    """Return those that were asked for. Raise `BadInput` where a machine that is named has no profile that fits."""
    store, setup = request.store or usual_store(), request.setup
    if model := request.model:
        here = this_machine(usable_cores())
        if request.bounds.energy and not here.is_called(model.setting.machine):
            raise BadInput(
                f"`max_energy` must come with a model of this machine, {here.slug}, whose meter it is, found one of "
                f"{model.setting.machine}"
            )
        return _Setups([model.setup], lambda _: model, elsewhere=True)
    any_batch = request.any_batch and bool(request.bounds.throughput)
    if asked := request.latency_of:
        if request.bounds.energy:
            raise BadInput("`max_energy` must come without `latency_of`: the meter is this machine's")
        batches = batches_of(asked, space, store) if any_batch else [asked.batch]
        found = [model_of(replace(asked, batch=batch), space, store) for batch in batches]
        for note in dict.fromkeys(note for one in found for note in one.notes):
            logging.getLogger(__name__).warning("%s", note)
        models = {one.model.setup.batch: one.model for one in found}
        return _Setups([one.model.setup for one in found], lambda setup: models[setup.batch], elsewhere=True)
    batches = profiled_batches(space, setup, store) if any_batch else []
    several = [replace(setup, batch=batch) for batch in batches] or [setup]
    return _Setups(several, lambda setup: stored_model(space, setup, store), elsewhere=False)


def _prepare(
    request: SearchRequest, supernet: Checkpoint, space: SearchSpace, images: LabelledImages, progress: Progress
) -> PreparedSearch:
    """Turn what was asked for into costs and limits. Raise `BadInput` where no subnet meets them."""
    check_choice(space)
    check_exportable(request.setup)

    setups = _setups(request, space)
    found = priced(
        space,
        request.bounds,
        request.promise,
        setups.setups,
        setups.model,
        always_latency=request.evolution.pareto,
        progress=progress,
    )
    problem = SearchProblem(
        space=space,
        supernet=supernet.digest,
        data=request.held_out.identity(images.labels),
        held_out=len(images.labels),
        limits=found.limits,
        costs=found.costs,
        evolution=request.evolution,
        seed=request.seed,
        early_stopping=request.scoring.early_stopping,
        measured=found.model.identity if found.model else "",
        predictor=request.predictor,
    )
    scorer = ScorerSource(supernet, images, request.scoring.batch, request.scoring.device)
    if not request.scoring.workers:  # which may have other devices
        scorer.place()
    setting = (
        setups.model(found.setup).setting
        if setups.elsewhere
        else found.model.setting
        if found.model
        else replace(found.setup.setting(), machine="", version="")
    )
    return PreparedSearch(supernet, problem, scorer, found, setting)


def _carry_out(request: SearchRequest, prepared: PreparedSearch, progress: Progress) -> SearchResult:
    """Search, export and measure in a folder that is there. What cannot be written at the end is in the result."""
    out, problem = request.out, prepared.problem
    check_writable(out / CHECKPOINT)
    store = SearchStore(out / STATE, problem.identity)
    with store, opened_pool(request.scoring.workers, prepared.scorer, progress) as pool:
        progress("timing a few passes")
        note_estimate(problem, pool, len(store.candidates()))
        evaluated = iterate(problem, store, pool, progress)
    exporter = Exporter(prepared.supernet, prepared.priced.setup, prepared.scorer.images, out, problem.costs)
    model = prepared.priced.model
    rounds = Rounds(
        problem=problem,
        evaluated=evaluated,
        exporter=exporter,
        setting=prepared.setting,
        limits=prepared.priced.measured,
        together=request.finalists,
        most=request.tries,
        anchor=exporter.anchor(model) if model and prepared.priced.measured else None,
    )
    if prepared.elsewhere:
        return finished(out, *rounds.for_elsewhere(progress), problem.costs)
    return finished(out, *rounds.measured_here(progress), problem.costs)
