"""The iterations of a search: proposing subnets, scoring them and keeping what was found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import CostKind, CostLimits
from resnas_deploy.searching.evolution import Evolution, propose
from resnas_deploy.searching.pareto import front
from resnas_deploy.searching.pool import Pool
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
            },
            sort_keys=True,
        )


@dataclass(frozen=True)
class EvaluatedSubnets:
    """The candidates that a search has scored."""

    candidates: tuple[Candidate, ...]  # in the order in which they were scored
    best: tuple[Candidate, ...]  # best first; in a Pareto search the front, the cheapest first
    pareto: bool

    @classmethod
    def of(cls, found: Sequence[Candidate], *, pareto: bool) -> EvaluatedSubnets:
        """Order candidates, which come in the order in which they were scored."""
        best_first = sorted(found, key=lambda candidate: candidate.rank, reverse=True)
        return cls(tuple(found), tuple(front(found) if pareto else best_first), pareto)

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
    limits = problem.limits.within(problem.space)
    kept = {candidate.subnet: candidate for candidate in store.candidates()}
    for candidate in kept.values():
        if len(candidate.costs) != len(problem.costs) or not problem.space.contains(candidate.subnet):
            raise BadInput(
                f"{store.path} must hold subnets of the space {problem.space.name} and their {len(problem.costs)} "
                "costs, found others; choose another `out`"
            )
    found: list[Candidate] = []
    for iteration in range(problem.evolution.iterations):
        rng = np.random.default_rng((problem.seed, iteration))
        proposed = propose(problem.space, limits, problem.evolution, found, rng)
        for wave in _waves(proposed, problem.evolution.parents):
            best = max((candidate.score.accuracy for candidate in found), default=0.0)
            progress(
                f"iteration {iteration + 1} of {problem.evolution.iterations}, {len(found)} subnets, best {best:.1%}"
            )
            # The target stays as it is for a whole wave: scores then do not depend on who is done first.
            target = _target(problem, found)
            new = [subnet for subnet in wave if subnet not in kept]
            scores = pool.scores(new, target)
            costs = _costs(problem.costs, new)
            scored = [
                Candidate(subnet, score, own, iteration) for subnet, score, own in zip(new, scores, costs, strict=True)
            ]
            store.add(scored)
            kept |= {candidate.subnet: candidate for candidate in scored}
            found += [kept[subnet] for subnet in wave]
    return EvaluatedSubnets.of(found, pareto=problem.evolution.pareto)


def _waves(subnets: Sequence[Subnet], size: int) -> list[Sequence[Subnet]]:
    return [subnets[start : start + size] for start in range(0, len(subnets), size)]


def _target(problem: SearchProblem, found: Sequence[Candidate]) -> int | None:
    """Return how many a candidate must get right to become a parent; None while there are not enough parents."""
    if not problem.early_stopping or problem.evolution.pareto:  # on a front, a worse one may be cheaper
        return None
    whole = sorted((item.score.correct for item in found if not item.score.stopped), reverse=True)
    return whole[problem.evolution.parents - 1] if len(whole) >= problem.evolution.parents else None


def _costs(costs: Sequence[CostKind], subnets: Sequence[Subnet]) -> list[tuple[float, ...]]:
    """Return all costs of each subnet."""
    if not subnets:
        return []
    archs = [subnet.arch for subnet in subnets]
    return list(zip(*(cost.of(archs).tolist() for cost in costs), strict=True))
