"""The iterations of a search: proposing subnets, scoring them and keeping what was found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.progress import Counted, Progress, silent
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import CostKind, CostLimits, costs_of
from resnas_deploy.searching.evolution import Evolution, propose
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
    predictor: bool = False

    @property
    def candidates(self) -> int:
        """Count the subnets that are scored, at most."""
        return (self.evolution.with_share(SHARE) if self.predictor else self.evolution).candidates

    @property
    def stops_early(self) -> bool:
        """Tell whether hopeless candidates see fewer images than there are: on a front, a worse one may be cheaper."""
        return self.early_stopping and not self.evolution.pareto

    @property
    def identity(self) -> str:
        """Return all of it as text."""
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
                **({"predictor": True} if self.predictor else {}),  # else the same text as of earlier versions
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
    kept = {candidate.subnet: candidate for candidate in store.candidates()}
    for candidate in kept.values():
        if len(candidate.costs) != len(problem.costs) or not problem.space.contains(candidate.subnet):
            raise BadInput(
                f"{store.path} must hold subnets of the space {problem.space.name} and their {len(problem.costs)} "
                "costs, found others; choose another `out`"
            )
    found: list[Candidate] = []
    expected = (evolution.with_share(SHARE) if problem.predictor else evolution).candidates  # at most
    for iteration in range(evolution.iterations):
        rng = np.random.default_rng((problem.seed, iteration))
        predictor = fitted(found) if problem.predictor else None
        proposed = _proposed(problem, limits, found, predictor, rng)
        for wave in _waves(proposed, evolution.parents):
            best = max((candidate.score.accuracy for candidate in found), default=0.0)
            where = f"iteration {iteration + 1} of {evolution.iterations}, best {best:.1%}"

            def told(done: int, where: str = where, there: int = len(found)) -> None:
                text = f"{where}, {there + done} subnets"
                progress(Counted(text, there + done, expected, stage="subnets", unit="subnets"))

            told(0)
            # The target stays as it is for a whole wave: scores then do not depend on who is done first.
            target = _target(problem, found)
            new = [subnet for subnet in wave if subnet not in kept]
            scores = pool.scores(new, target, told)
            costs = costs_of(problem.costs, new)
            scored = [
                Candidate(subnet, score, own, iteration) for subnet, score, own in zip(new, scores, costs, strict=True)
            ]
            store.add(scored)
            kept |= {candidate.subnet: candidate for candidate in scored}
            found += [kept[subnet] for subnet in wave]
    return EvaluatedSubnets.of(found, pareto=evolution.pareto, predictor=problem.predictor)


def _waves(subnets: Sequence[Subnet], size: int) -> list[Sequence[Subnet]]:
    return [subnets[start : start + size] for start in range(0, len(subnets), size)]


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
    if not problem.stops_early:
        return None
    whole = sorted((item.score.correct for item in found if not item.score.stopped), reverse=True)
    return whole[problem.evolution.parents - 1] if len(whole) >= problem.evolution.parents else None
