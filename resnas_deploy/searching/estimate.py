"""How long scoring will take: so many candidates on so many images, at the speed of a few timed passes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.searching.evolution import propose
from resnas_deploy.searching.iterations import SearchProblem
from resnas_deploy.searching.pool import TimedPool
from resnas_deploy.units import duration

_TIMED = 3  # subnets, of those that the search could begin with


@dataclass(frozen=True)
class ScoringEstimate:
    """The work of a search but for its finalists', and how fast it goes."""

    candidates: int  # at most
    images: int
    images_per_s: float  # of all workers together

    @property
    def images_scored(self) -> int:
        """Count the images over all candidates, if none were stopped early."""
        return self.candidates * self.images

    @property
    def seconds(self) -> float:
        """Return the time of all passes, if no candidate were stopped early."""
        return self.images_scored / self.images_per_s

    def __str__(self) -> str:
        return (
            f"{self.candidates:,} candidates x {self.images:,} images: at most {duration(self.seconds)}, "
            f"at {self.images_per_s:,.0f} images/s"
        )


def estimated(problem: SearchProblem, pool: TimedPool, scored: int = 0) -> ScoringEstimate:
    """Time a few subnets inside the limits; so many candidates are `scored` already."""
    rate = pool.rate(_typical(problem), problem.held_out)
    return ScoringEstimate(max(0, problem.candidates - scored), problem.held_out, rate)


def note_estimate(problem: SearchProblem, pool: TimedPool, scored: int) -> None:
    """Tell what lies ahead, before it begins."""
    if scored < problem.candidates:
        found = estimated(problem, pool, scored)
        less = "; less where hopeless ones are stopped early" if problem.stops_early else ""
        logging.getLogger(__name__).info("%s%s", found, less)


def _typical(problem: SearchProblem) -> Sequence[Subnet]:
    """Return subnets such as the search will score. They take nothing from its own random numbers."""
    rng, few = np.random.default_rng(problem.seed), replace(problem.evolution, first=_TIMED)
    try:
        return propose(problem.space, problem.limits.within(problem.space), few, [], rng)
    except BadInput:  # few draws found none, where the search's many may
        return [problem.space.sample(rng) for _ in range(_TIMED)]
