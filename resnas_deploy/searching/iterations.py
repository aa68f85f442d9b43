"""The iterations of a search: proposing subnets, scoring them and keeping what was found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import CostKind, CostLimits
from resnas_deploy.searching.evaluation import Evaluation, waves
from resnas_deploy.searching.evolution import Evolution, propose
from resnas_deploy.searching.halving import images_seen
from resnas_deploy.searching.pareto import front
from resnas_deploy.searching.pool import Pool
from resnas_deploy.searching.predictor import DRAWN, SHARE, Predictor, PredictorCheck, checks_of, chosen, fitted
from resnas_deploy.searching.store import SearchStore
from resnas_deploy.weights.space_files import space_key


@dataclass(frozen=True)
class SearchProblem:
    """What is looked for, and all that the answer depends on."""

    space: SearchSpace
    supernet: str  # digest of its weights
    data: str
    held_out: int  # images that candidates are scored on
    limits: CostLimits
    costs: tuple[CostKind, ...]  # that are kept of each candidate, the limited ones or the front's first
    evolution: Evolution
    seed: int
    early_stopping: bool = True
    measured: str = ""  # which latency model the costs are of
    halving: bool = False
    predictor: bool = False

    @property
    def candidates(self) -> int:
        """Count the subnets that are scored, at most."""
        return (self.evolution.with_share(SHARE) if self.predictor else self.evolution).candidates

    @property
    def images(self) -> int:
        """Count the images that are scored, at most, over all candidates."""
        if not self.halving:
            return self.candidates * self.held_out
        evolution = self.evolution.with_share(SHARE) if self.predictor else self.evolution
        first, later = (images_seen(count, self.held_out) for count in (evolution.first, evolution.children))
        return first + (evolution.iterations - 1) * later

    @property
    def identity(self) -> str:
        """Return all of it as text."""
        # A search of before these were there has the same text as before.
        cheaper = {name: True for name in ("halving", "predictor") if getattr(self, name)}
        return json.dumps(
            {
                "space": space_key(self.space),
                "supernet": self.supernet,
                "data": [self.data, self.held_out],
                "limits": [limit.exact for limit in self.limits.limits],
                "costs": [cost.name for cost in self.costs],
                "evolution": asdict(self.evolution),
                "seed": self.seed,
                "early_stopping": self.early_stopping,
                "measured": self.measured,
                **cheaper,
            },
            sort_keys=True,
        )


@dataclass(frozen=True)
class EvaluatedSubnets:
    """The candidates that a search has scored."""

    candidates: tuple[Candidate, ...]  # in the order in which they were scored
    best: tuple[Candidate, ...]  # best first; in a Pareto search the front, the cheapest first
    pareto: bool
    predictor: bool = False  # chose what was scored

    @property
    def checks(self) -> list[PredictorCheck]:
        """Tell how well the predictor did, in each iteration that it chose for."""
        return checks_of(self.candidates) if self.predictor else []

    @property
    def images(self) -> int:
        """Count the images that were scored: those that each candidate saw."""
        return sum(candidate.score.seen for candidate in self.candidates)

    @classmethod
    def of(cls, found: Sequence[Candidate], *, pareto: bool, predictor: bool = False) -> EvaluatedSubnets:
        """Order candidates, which come in the order in which they were scored."""
        best_first = sorted(found, key=lambda candidate: candidate.rank, reverse=True)
        return cls(tuple(found), tuple(front(found) if pareto else best_first), pareto, predictor)

    @property
    def stopped(self) -> int:
        """Count those that were not evaluated to the end."""
        return sum(candidate.score.stopped for candidate in self.candidates)

    def finalists(self, count: int) -> tuple[Candidate, ...]:
        """Return the best; of a front so many, spread evenly over it."""
        if not self.pareto:
            return self.best[:count]
        places = np.unique(np.linspace(0, len(self.best) - 1, count).round().astype(int))
        return tuple(self.best[place] for place in places)


def iterate(problem: SearchProblem, store: SearchStore, pool: Pool, progress: Progress = silent) -> EvaluatedSubnets:
    """Search to the end; what is in the store is not evaluated again."""
    limits, evolution = problem.limits.within(problem.space), problem.evolution
    evaluation = Evaluation(store, pool, problem.costs, evolution, problem.held_out)
    for candidate in evaluation.kept.values():
        if len(candidate.costs) != len(problem.costs) or not problem.space.contains(candidate.subnet):
            raise BadInput(
                f"{store.path} must hold subnets of the space {problem.space.name} and their {len(problem.costs)} "
                "costs, found others; choose another `out`"
            )
    found: list[Candidate] = []
    for iteration in range(evolution.iterations):
        rng = np.random.default_rng((problem.seed, iteration))
        predictor = fitted(found) if problem.predictor else None
        proposed = _proposed(problem, limits, found, predictor, rng)
        if problem.halving:
            told = partial(_tell, progress, evolution, iteration, tuple(found))
            found += evaluation.halving(proposed, iteration, _target(problem, found), told)
        else:
            for wave in waves(proposed, evolution.parents):
                _tell(progress, evolution, iteration, found)
                # The target stays as it is for a whole wave: scores then do not depend on who is done first.
                found += evaluation.of(wave, iteration, _target(problem, found))
    return EvaluatedSubnets.of(found, pareto=evolution.pareto, predictor=problem.predictor)


def _tell(progress: Progress, evolution: Evolution, iteration: int, found: Sequence[Candidate], more: str = "") -> None:
    best = max((candidate.score.accuracy for candidate in found if not candidate.score.stopped), default=0.0)
    progress(f"iteration {iteration + 1} of {evolution.iterations}, {len(found)} subnets, best {best:.1%}{more}")


def _proposed(
    problem: SearchProblem,
    limits: CostLimits,
    found: Sequence[Candidate],
    predictor: Predictor | None,
    rng: np.random.Generator,
) -> list[Subnet]:
    """Return what to score next: with a predictor a share of what would be scored without, out of many more."""
    evolution = problem.evolution
    if not problem.predictor:
        return propose(problem.space, limits, evolution, found, rng)
    fewer = evolution.with_share(SHARE)
    if not predictor:
        return propose(problem.space, limits, fewer, found, rng)
    drawn = propose(problem.space, limits, fewer.with_share(DRAWN), found, rng)
    return chosen(predictor, drawn, fewer.children, evolution, problem.costs)


def _target(problem: SearchProblem, found: Sequence[Candidate]) -> int | None:
    """Return how many a candidate must get right to become a parent; None while there are not enough parents."""
    if not problem.early_stopping or problem.evolution.pareto:  # on a front, a worse one may be cheaper
        return None
    whole = sorted((item.score.correct for item in found if not item.score.stopped), reverse=True)
    return whole[problem.evolution.parents - 1] if len(whole) >= problem.evolution.parents else None
