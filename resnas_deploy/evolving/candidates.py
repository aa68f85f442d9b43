"""Random subnets within limits, and their scores: what the effects of choices are learned from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.progress import Counted, Progress, silent
from resnas_deploy.searching.candidate import Candidate, canonical
from resnas_deploy.searching.costs import CostKind, CostLimits, costs_of
from resnas_deploy.searching.pool import Pool
from resnas_deploy.searching.store import SearchStore

_TOWARDS_THE_NARROWEST = (0.0, 0.25, 0.5, 0.75, 0.9)  # shares of what a draw takes of it, until it is within the limits
_TRIES = 50  # times as many draws as subnets are wanted: a small space has been seen long before
_AT_ONCE = 10  # that are scored and then kept


@dataclass(frozen=True)
class Sampling:
    """Which subnets are scored, and all that their scores depend on."""

    space: SearchSpace
    supernet: str  # digest of its weights
    data: str
    held_out: int  # images
    limits: CostLimits
    costs: tuple[CostKind, ...]  # that are kept of each
    count: int  # subnets
    seed: int
    number: int  # of the round, from 1
    measured: str = ""  # which latency model the costs are of

    @property
    def identity(self) -> str:
        """Return all of it as text."""
        return json.dumps(
            {
                "space": self.space.fingerprint,
                "supernet": self.supernet,
                "data": [self.data, self.held_out],
                "limits": [limit.exact for limit in self.limits.limits],
                "costs": [cost.name for cost in self.costs],
                "subnets": self.count,
                "seed": self.seed,
                "round": self.number,
                "measured": self.measured,
            },
            sort_keys=True,
        )


def within_limits(space: SearchSpace, limits: CostLimits, count: int, rng: np.random.Generator) -> list[Subnet]:
    """Return different random subnets within the limits: `count` of them, or as many as were found.

    Draws that cost too much take a part of the narrowest subnet's dimensions, so that costs lie anywhere below the
    limits, and near them too.
    """
    widest, narrowest, found = space.widest(), space.narrowest(), dict[Subnet, None]()
    for _ in range(_TRIES):
        waiting = [space.sample(rng) for _ in range(count)]
        for share in _TOWARDS_THE_NARROWEST:
            tried = [space.blend(subnet, narrowest, share, rng) for subnet in waiting] if share else waiting
            inside = limits.highest(tried) <= 1
            found |= {canonical(subnet, widest): None for subnet, holds in zip(tried, inside, strict=True) if holds}
            waiting = [subnet for subnet, holds in zip(waiting, inside, strict=True) if not holds]
        if len(found) >= count:
            break
    return list(found)[:count]


def scored(sampling: Sampling, store: SearchStore, pool: Pool, progress: Progress = silent) -> tuple[Candidate, ...]:
    """Score the subnets of a round; what is in the store is not scored again."""
    rng = np.random.default_rng((sampling.seed, sampling.number))
    wanted = within_limits(sampling.space, sampling.limits, sampling.count, rng)
    kept = {candidate.subnet: candidate for candidate in store.candidates()}
    missing = [subnet for subnet in wanted if subnet not in kept]
    for start in range(0, len(missing), _AT_ONCE):
        part, done = missing[start : start + _AT_ONCE], len(kept)

        def told(more: int, done: int = done) -> None:
            text = f"scoring {done + more} of {len(wanted)} subnets"
            progress(Counted(text, done + more, len(wanted), stage="subnets", unit="subnets"))

        told(0)
        scores = pool.scores(part, None, told)
        costs = costs_of(sampling.costs, part)
        new = [Candidate(*each, sampling.number - 1) for each in zip(part, scores, costs, strict=True)]
        store.add(new)
        kept |= {candidate.subnet: candidate for candidate in new}
    return tuple(kept[subnet] for subnet in wanted)


def accuracies(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """Return top-1 of each, from 0 to 1: `(candidates,)`."""
    return np.array([candidate.score.accuracy for candidate in candidates])
