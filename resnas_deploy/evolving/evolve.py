"""A whole evolution, from a supernet's file to a space and its supernet: what `space.evolve` of the API does.

Rounds alternate as in S3 (arXiv 2111.14725): subnets of the space are scored with the supernet, ranges move, and the
supernet is trained on in the space that came of it. All that a round makes lies in a folder of its own, so that a run
that is stopped anywhere goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.space import LONGEST_NAME, SearchSpace
from resnas_deploy.data.class_match import check_classes, classes_of
from resnas_deploy.data.labelled import LabelledImages
from resnas_deploy.data.source import open_data
from resnas_deploy.errors import BadInput
from resnas_deploy.evolving.candidates import Sampling, accuracies, scored
from resnas_deploy.evolving.dimensions import dimensions, in_steps, step
from resnas_deploy.evolving.effects import effects, least_subnets
from resnas_deploy.evolving.moves import Bounded, Move, moves, stayed
from resnas_deploy.evolving.page import ReportedRound, write_page
from resnas_deploy.evolving.result import Evolution, EvolvedRound
from resnas_deploy.evolving.training import Onward, recipe_of, trained_on
from resnas_deploy.files.atomic import atomic_file, write_errors
from resnas_deploy.files.outputs import check_new_folder, check_writable, claiming
from resnas_deploy.measuring.latency.profile import check_profile, profile
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import usual_store
from resnas_deploy.progress import Progress, headed, silent
from resnas_deploy.runners.devices import torch_device
from resnas_deploy.searching.costs import Bound, Bounds, CostLimits, macs_cost
from resnas_deploy.searching.held_out import HeldOutSource, in_random_order
from resnas_deploy.searching.limits import Priced, Promise, check_choice, priced
from resnas_deploy.searching.pool import ScorerSource, check_workers, opened_pool
from resnas_deploy.searching.search import Scoring
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.weights.checkpoint import Checkpoint, load, save
from resnas_deploy.weights.space_files import supernet_space
from resnas_deploy.weights.space_text import space_text

SPACE, CHECKPOINT = "space.toml", "checkpoint.safetensors"
_CANDIDATES = "candidates.sqlite"
_TAKEN = "give `resume` to go on with what is there, or choose another `out`"
_SUFFIX = "-evolved"
_RESAMPLED = 1  # beside the seed and the round: not the generator that draws subnets


@dataclass(frozen=True)
class EvolveRequest:
    """An evolution as it is asked for."""

    supernet: Path
    data: str  # that the supernet is trained on with
    held_out: HeldOutSource  # that subnets are scored on
    out: Path
    bounds: Bounds
    setup: Setup  # how latency is limited
    store: Path | None = None  # of latency profiles; None: the user's own
    networks: int | None = None  # of a profile
    rounds: int = 2
    subnets: int = 200  # that are scored in each round
    most_growth: float = 1.5  # of the widest subnet's MACs
    epochs: int | None = None  # of each training on; None: a third of the recipe's
    recipe: str | Path | Recipe = ""
    settings: Sequence[str] | Mapping[str, object] = ()
    scoring: Scoring = field(default_factory=Scoring)
    seed: int = 0
    resume: bool = False

    def __post_init__(self) -> None:
        if not self.bounds:
            raise BadInput("no limit given: the widest choice would always gain; give `max_macs` or `max_latency`")


@dataclass(frozen=True)
class PreparedEvolution:
    """An evolution that was checked before any work."""

    supernet: Checkpoint
    space: SearchSpace
    images: LabelledImages
    onward: Onward
    trained_images: int  # of an epoch


@dataclass(frozen=True)
class Evolved:
    """What came of it."""

    evolution: Evolution
    checkpoint: Checkpoint
    out: Path


def prepare(request: EvolveRequest, progress: Progress = silent) -> PreparedEvolution:
    """Check all that can be checked before any work, and return what is needed for it. Raise `BadInput`."""
    check_new_folder(request.out, resume=request.resume, remedy=_TAKEN)
    check_workers(request.scoring.workers)
    progress("reading the supernet and the images")
    supernet = load(request.supernet)
    space = supernet_space(supernet, request.supernet)
    check_choice(space)
    if request.bounds.macs:
        CostLimits((request.bounds.macs.limit(macs_cost(), space),)).within(space)
    if request.bounds.latency:
        check_profile(space, request.setup, request.networks)
    if request.subnets < (least := least_subnets(count := len(dimensions(space)))):
        raise BadInput(
            f"`subnets` must be {least} or more for the {count} choices of the space {space.name}, found "
            f"{request.subnets}"
        )
    torch_device(request.scoring.device, field="eval_device")  # that trains as well
    images = in_random_order(request.held_out.images(supernet, request.supernet))
    data = open_data(request.data)
    check_classes(classes_of(supernet.arch.classes, supernet.task), data.train.class_names, str(request.supernet))
    recipe = recipe_of(supernet, space, request.data, request.recipe, request.settings, request.epochs)
    onward = Onward(request.data, recipe, request.seed, request.scoring.device)
    learned = len(data.train.labels) - recipe.held_out * len(data.train.class_names)
    return PreparedEvolution(supernet, space, images, onward, learned)


def evolve(request: EvolveRequest, progress: Progress = silent, each_epoch: Progress = silent) -> Evolved:
    """Evolve a space, and write it, its supernet and the page into the folder `out`.

    `each_epoch` is told a line at the end of each epoch of training, to keep. Raise `BadInput`.
    """
    prepared = prepare(request, progress)
    with claiming(request.out, resume=request.resume, remedy=_TAKEN):
        check_writable(request.out / CHECKPOINT)
        return _Evolving(request, prepared, progress, each_epoch).to_the_end()


class _Evolving:
    def __init__(
        self, request: EvolveRequest, prepared: PreparedEvolution, progress: Progress, each_epoch: Progress
    ) -> None:
        self.request, self.prepared = request, prepared
        self.progress, self.each_epoch = progress, each_epoch
        self.bounds = request.bounds
        self.limits = CostLimits(())
        self.most_macs = request.most_growth * macs(prepared.space.widest().arch)

    def to_the_end(self) -> Evolved:
        request = self.request
        supernet, space = self.prepared.supernet, self.prepared.space
        rounds = list[ReportedRound]()
        settled = False
        for number in range(1, request.rounds + 2):
            folder = request.out / f"round{number}"
            with write_errors(folder):
                folder.mkdir(exist_ok=True)
            following, found = self._looked_at(supernet, space, folder, number)
            rounds.append(found)
            if settled := following is space and number <= request.rounds:
                break
            if number <= request.rounds:
                tell, keep = self._told(number)
                space = following
                supernet = trained_on(supernet, space, self.prepared.onward, folder, number, tell, keep)
        evolution = Evolution(
            supernet=self.prepared.supernet.digest,
            data=request.data if request.held_out.data else request.held_out.score_on,
            held_out=len(self.prepared.images.labels),
            asked=" and ".join(map(str, self.limits.limits)),
            seed=request.seed,
            epochs=self.prepared.onward.recipe.epochs,
            rounds=tuple(item.round for item in rounds),
            settled=settled,
        )
        self._write(evolution, supernet, rounds)
        return Evolved(evolution, supernet, request.out)

    def _told(self, number: int) -> tuple[Progress, Progress]:
        """Return whom a round tells of its progress, and of what is to be kept."""
        heading = f"round {number} of {self.request.rounds}, " if number <= self.request.rounds else "at the end, "
        return headed(heading, self.progress), headed(heading, self.each_epoch)

    def _looked_at(
        self, supernet: Checkpoint, space: SearchSpace, folder: Path, number: int
    ) -> tuple[SearchSpace, ReportedRound]:
        """Score subnets of a space; return the one that follows, the same where nothing moves, and what to tell."""
        request, last = self.request, number > self.request.rounds
        tell, _ = self._told(number)
        found = self._priced(space, tell)
        sampling = Sampling(
            space=space,
            supernet=supernet.digest,
            data=request.held_out.identity(self.prepared.images.labels),
            held_out=len(self.prepared.images.labels),
            limits=found.limits,
            costs=found.costs,
            count=request.subnets,
            seed=request.seed,
            number=number,
            measured=found.model.identity if found.model else "",
        )
        scorer = ScorerSource(supernet, self.prepared.images, request.scoring.batch, request.scoring.device)
        with (
            SearchStore(folder / _CANDIDATES, sampling.identity) as store,
            opened_pool(request.scoring.workers, scorer, tell) as pool,
        ):
            candidates = scored(sampling, store, pool, tell)
        tell("fitting the effects of choices")
        effect = effects(
            [(dimension, step(space, dimension)) for dimension in dimensions(space)],
            in_steps(space, [candidate.subnet for candidate in candidates]),
            accuracies(candidates),
            np.array([candidate.costs[0] for candidate in candidates]),
            np.random.default_rng((request.seed, number, _RESAMPLED)),
            binding=bool(found.limits.highest([space.widest()])[0] > 1),
        )
        following, done = space, tuple[Move, ...]()
        if last:
            done = stayed(space, effect, "the last round, which tells what came of it")
        else:
            following, done = moves(space, effect, Bounded(found.limits, self.most_macs))
            following = replace(following, name=_name(space)) if any(move.moved for move in done) else space
        record = EvolvedRound.of(number, space, supernet.digest, found.costs, candidates, done)
        return following, ReportedRound(record, candidates)

    def _priced(self, space: SearchSpace, progress: Progress) -> Priced:
        """Return what the limits mean in a space; shares are of the widest subnet of the first one."""
        request, store = self.request, self.request.store or usual_store()
        found = priced(
            space,
            self.bounds,
            Promise(),
            [request.setup],
            lambda setup: profile(space, setup, store, request.networks, progress),
            progress=progress,
        )
        if not self.limits.limits:
            self.limits = found.limits
            most = {limit.cost.name: Bound(limit.most) for limit in found.limits.limits}
            self.bounds = Bounds(macs=most.get("MACs"), latency=most.get("latency"))
        return found

    def _write(self, evolution: Evolution, supernet: Checkpoint, rounds: Sequence[ReportedRound]) -> None:
        out = self.request.out
        save(replace(supernet, space=evolution.space, checked=True), out / CHECKPOINT)
        with atomic_file(out / SPACE) as partial:
            partial.write_text(space_text(evolution.space), encoding="utf-8", newline="\n")
        evolution.write(out)
        write_page(evolution, rounds, out)


def _name(space: SearchSpace) -> str:
    """Return the name of what a space evolves into."""
    return f"{space.name.removesuffix(_SUFFIX)[: LONGEST_NAME - len(_SUFFIX)]}{_SUFFIX}"
