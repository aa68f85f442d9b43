"""Search spaces whose ranges are searched too: `resnas.space.evolve`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.evolving import evolve as evolving
from resnas_deploy.evolving import plan as planning
from resnas_deploy.evolving.page import PAGE, effect_rows, summary
from resnas_deploy.evolving.result import Evolution
from resnas_deploy.measuring.latency.setup import choose_setup
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.devices import check_torch
from resnas_deploy.searching.costs import Bounds
from resnas_deploy.searching.held_out import HeldOutSource
from resnas_deploy.searching.search import Scoring
from resnas_deploy.units import duration
from resnas_deploy.weights.checkpoint import Checkpoint
from resnas_deploy.weights.space_text import space_text

if TYPE_CHECKING:
    from resnas_deploy.training.recipe import Recipe


@dataclass(frozen=True)
class EvolvedSpace(Tabular):
    """A space that evolved, its supernet, and what each round found."""

    out: Path
    evolution: Evolution
    checkpoint: Checkpoint

    @property
    def space(self) -> SearchSpace:
        """Return the space that came of it."""
        return self.evolution.space

    @property
    def space_path(self) -> Path:
        """The space's file."""
        return self.out / evolving.SPACE

    @property
    def checkpoint_path(self) -> Path:
        """The file of its supernet."""
        return self.out / evolving.CHECKPOINT

    @property
    def report_path(self) -> Path:
        """The page that tells the effects of each choice, and what moved."""
        return self.out / PAGE

    def to_json(self) -> dict[str, object]:
        """Return what `resnas space evolve --json` prints, which is what `evolved.json` holds."""
        return self.evolution.to_json()

    def to_toml(self) -> str:
        """Return the space as a file to write one's own with."""
        return space_text(self.space)

    def table(self) -> Table:
        """Return a row for each range that moved, in the order of the rounds."""
        rows = []
        for found in self.evolution.rounds:
            shown = effect_rows(tuple(move for move in found.moves if move.moved))
            rows += [(str(found.number), *row[:4], row[-1]) for row in shown]
        title = f"{self.evolution.rounds[0].space.name}: ranges that moved, and the gain of a step in points of top-1"
        return Table(title, ("round", "choice", "values", "now", "why", "gain"), rows, text_columns=5)

    def __str__(self) -> str:
        return "\n".join(summary(self.evolution))


@dataclass(frozen=True)
class EvolutionPlan(planning.EvolutionPlan, Tabular):
    """What an evolution would take, if every round moves something."""

    def to_json(self) -> dict[str, object]:
        """Return what `resnas space evolve --plan --json` prints."""
        return {
            "space": self.space,
            "rounds": self.rounds,
            "subnets": self.subnets,
            "images": self.images,
            "images_per_s": self.images_per_s,
            "scoring_s": self.scoring_s,
            "epochs": self.epochs,
            "images_trained": self.images_trained,
        }

    def table(self) -> Table:
        """Return a row for each figure."""
        rows = (
            ("rounds, at most", f"{self.rounds}"),
            ("subnets scored in each, and at the end", f"{self.subnets:,}"),
            ("images that they are scored on", f"{self.images:,}"),
            ("images/s", f"{self.images_per_s:,.0f}"),
            ("to score all", duration(self.scoring_s)),
            ("epochs of training after each round", f"{self.epochs}"),
            ("images trained on in all", f"{self.images_trained:,}"),
        )
        return Table(f"an evolution of the space {self.space} would take", ("", ""), rows)


@checked
def evolve(
    supernet: str | Path,
    *,
    data: str | Path,
    score_on: str | Path = "",
    held_out: int | None = None,
    out: str | Path,
    max_macs: str | float = "",
    max_latency: str | float = "",
    runner: str = "",
    batch: int = 1,
    precision: str = "fp32",
    threads: int = 0,
    device: str = "",
    store: str | Path | None = None,
    networks: int | None = None,
    rounds: int = 2,
    subnets: int = 200,
    most_growth: float = 1.5,
    epochs: int | None = None,
    recipe: str | Path | Recipe = "",
    settings: Sequence[str] | Mapping[str, object] = (),
    eval_batch: int = 100,
    eval_device: str = "",
    workers: str = "",
    seed: int = 0,
    resume: bool = False,
    plan: bool = False,
    each_epoch: Progress = silent,
    progress: Progress = silent,
) -> EvolvedSpace | EvolutionPlan:
    """Move the ranges of a search space towards what gains accuracy within limits, and train its supernet on there.

    A round scores random subnets within the limits, fits what a step of each choice does to accuracy and to cost,
    drops the worst end of every range whose gain is beyond its interval, adds a value one step further at the good end,
    and trains the supernet on in that space: weights that exist are kept, what is new begins as training begins, and so
    does the optimiser. After S3 (Chen et al., NeurIPS 2021, arXiv 2111.14725).

    Args:
        supernet: its checkpoint.
        data: `demo`, or the folder that it was trained on, and is trained on with; subnets are scored on images that
            training held out.
        score_on: a folder of labelled images that training did not see, to score on instead.
        held_out: images of each class of that folder, drawn by `seed`; all where it is None.
        out: the folder to write: `space.toml`, `checkpoint.safetensors`, `report.html`, `evolved.json`, and a folder
            for each round.
        max_macs: of a subnet: such as `2.9G`, `60%` of the widest one's of the first space, or a number.
        max_latency: of a batch: such as `8ms`, `60%` of what is predicted for that one, or a number of milliseconds.
            Every round's space is profiled here, unless the store has it.
        runner, batch, precision, threads, device, store, networks: how, as `latency.profile` takes them.
        rounds: at most so many; fewer where no range moves any more.
        subnets: how many are scored in each round, and once more at the end.
        most_growth: how many times the MACs of the first space's widest subnet the widest one may come to.
        epochs: of training after a round; without it a third of the recipe's.
        recipe, settings: as `train.supernet` takes them; all choices are open from the first step, and the images that
            were held out stay so.
        eval_batch, eval_device: images that are scored at once, and the device that scores and trains.
        workers: `ray` or `ray:ADDRESS` score on a cluster; this process where empty.
        seed: everything random follows from it.
        resume: go on with an evolution that was stopped.
        plan: return an `EvolutionPlan` of what it would take, by a few timed passes, and write nothing.
        each_epoch: told a line at the end of each epoch, to keep.
        progress: told what is being done.

    Raise `BadInput` for a limit that no subnet meets, with the range there is, and for what is wrong; `NotAvailable`
    where something is not installed; `StorageError` where the folder cannot be written.
    """
    check_torch("an evolution")
    request = evolving.EvolveRequest(
        supernet=Path(supernet),
        data=str(data),
        held_out=HeldOutSource("" if score_on else str(data), str(score_on), held_out, seed),
        out=Path(out),
        bounds=Bounds.parse(max_macs, latency=max_latency),
        setup=choose_setup(runner, precision, batch, threads, device),
        store=Path(store) if store else None,
        networks=networks,
        rounds=rounds,
        subnets=subnets,
        most_growth=most_growth,
        epochs=epochs,
        recipe=recipe,
        settings=settings,
        scoring=Scoring(batch=eval_batch, device=eval_device, workers=workers),
        seed=seed,
        resume=resume,
    )
    if plan:
        return EvolutionPlan(**vars(planning.plan(request, progress)))
    found = evolving.evolve(request, progress, each_epoch)
    return EvolvedSpace(found.out, found.evolution, found.checkpoint)
