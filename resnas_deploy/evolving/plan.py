"""What an evolution would take, told before it is begun. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resnas_deploy.data.labelled import ImageSubset
from resnas_deploy.evolving.evolve import EvolveRequest, prepare
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching.pool import ScorerSource, opened_pool

_TIMED = 3  # subnets


@dataclass(frozen=True)
class EvolutionPlan:
    """The work of an evolution, if every round moves something."""

    space: str
    rounds: int  # after each of which the supernet is trained on
    subnets: int  # that are scored in each, and once more at the end
    images: int  # on which
    images_per_s: float  # scored, with the supernet that there is
    epochs: int  # of each training on
    images_trained: int  # in all

    @property
    def scoring_s(self) -> float:
        """Return the time of all scoring."""
        return (self.rounds + 1) * self.subnets * self.images / self.images_per_s


def plan(request: EvolveRequest, progress: Progress = silent) -> EvolutionPlan:
    """Price an evolution: check what it would check, and time a few passes. Raise what it does before it begins."""
    prepared = prepare(request, progress)
    scoring, count = request.scoring, len(prepared.images.labels)
    few = ImageSubset(prepared.images, np.arange(min(scoring.batch, count)))
    rng = np.random.default_rng(request.seed)
    progress("timing a few passes")
    with opened_pool(scoring.workers, ScorerSource(prepared.supernet, few, scoring.batch, scoring.device)) as pool:
        rate = pool.rate([prepared.space.sample(rng) for _ in range(_TIMED)], count)
    epochs = prepared.onward.recipe.epochs
    return EvolutionPlan(
        space=prepared.space.name,
        rounds=request.rounds,
        subnets=request.subnets,
        images=count,
        images_per_s=rate,
        epochs=epochs,
        images_trained=request.rounds * epochs * prepared.trained_images,
    )
