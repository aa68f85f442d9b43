"""The evolution of subnets (arXiv 2109.00642, section 3.4): what to try next, given what was found.

What is proposed follows from the seed, the iteration and the candidates so far, so that a search that was cut off goes
on as it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.space_size import count_subnets
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.errors import BadInput
from resnas_deploy.searching.candidate import Candidate, canonical
from resnas_deploy.searching.costs import CostLimits
from resnas_deploy.searching.first_subnets import FirstSubnets
from resnas_deploy.searching.pareto import best_first

_DRAWS = 200  # for each subnet that is wanted: then the search says that it found no more
_OF_ALL = 50  # draws for each subnet that there is: a small space has been seen long before
_AT_ONCE = 256  # at most: whose costs are computed together


@dataclass(frozen=True)
class Evolution:
    """How to search; the defaults are the paper's."""

    iterations: int = 20
    first: int = 500  # subnets of the first iteration: `FirstSubnets`
    mutated: int = 75  # of each later one
    crossed: int = 75
    parents: int = 75  # the best so far, of which these are made
    probability: float = 0.3  # that mutation redraws a dimension, or drops a block or takes it back
    pareto: bool = False  # parents are of the whole front of accuracy against the first cost, not the best alone

    def __post_init__(self) -> None:
        for name in ("iterations", "first", "parents"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.mutated < 0 or self.crossed < 0 or (self.mutated + self.crossed < 1 < self.iterations):
            raise BadInput(f"mutated and crossed must be from 0 and one above, found {self.mutated}, {self.crossed}")

    @property
    def candidates(self) -> int:
        """Count the subnets of all iterations together, at most."""
        return self.first + (self.iterations - 1) * self.children

    @property
    def children(self) -> int:
        """Count the subnets of each iteration but the first, at most."""
        return self.mutated + self.crossed

    def best_first(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Order candidates: by accuracy, or by fronts."""
        if self.pareto:
            return best_first(found)
        return sorted(found, key=lambda candidate: candidate.rank, reverse=True)

    def with_share(self, share: float) -> Evolution:
        """Return it with so many of the subnets, and as many parents."""
        first, mutated, crossed = (ceil(share * count) for count in (self.first, self.mutated, self.crossed))
        return replace(self, first=first, mutated=mutated, crossed=crossed)


def propose(
    space: SearchSpace,
    limits: CostLimits,
    evolution: Evolution,
    found: Sequence[Candidate],
    rng: np.random.Generator,
) -> list[Subnet]:
    """Propose the subnets of the next iteration: none that was there before, all inside the limits.

    They are fewer than asked for where draws without end would find no others. Where none is near a limit, cheaper ones
    will do. Raise `BadInput` where the first iteration finds none.
    """
    known = {candidate.subnet for candidate in found}
    if found and not limits.inside([candidate.subnet for candidate in found]).any():
        limits = replace(limits, window=0.0)  # as its first iteration did

    def collect(count: int, draw: Callable[[int], list[Subnet]], at_once: int = _AT_ONCE) -> list[Subnet]:
        return _collect(space, limits, count, known, draw, at_once)

    if not found:
        subnets = collect(evolution.first, FirstSubnets(space, limits, rng).draw, min(_AT_ONCE, 2 * evolution.first))
        if not subnets and limits.window:  # costs may have a gap there: memory has, of some mixers beside others
            return propose(space, replace(limits, window=0.0), evolution, found, rng)
        if not subnets:
            raise BadInput(
                f"{_tries(space, evolution.first)} subnets of the space {space.name} must hold one with "
                f"{' and '.join(map(str, limits.limits))}, found none; change the limits"
            )
        return subnets
    parents = [candidate.subnet for candidate in evolution.best_first(found)[: evolution.parents]]

    def mutant() -> Subnet:
        return space.mutate(parents[int(rng.integers(len(parents)))], evolution.probability, rng)

    def child() -> Subnet:
        first, second = rng.integers(len(parents)), rng.integers(len(parents) - 1)
        return space.crossover(parents[first], parents[second + (second >= first)], rng)

    mutated = collect(evolution.mutated, lambda tries: [mutant() for _ in range(tries)])
    known |= set(mutated)
    if len(parents) == 1:  # a child needs two
        return mutated
    return mutated + collect(evolution.crossed, lambda tries: [child() for _ in range(tries)])


def _collect(
    space: SearchSpace,
    limits: CostLimits,
    count: int,
    known: set[Subnet],
    draw: Callable[[int], list[Subnet]],
    at_once: int,
) -> list[Subnet]:
    """Collect up to `count` new subnets inside the limits. `draw` is told how many times to try."""
    widest, kept = space.widest(), dict[Subnet, None]()
    for batch in _batches(_tries(space, count), at_once):
        if len(kept) >= count:
            break
        drawn = draw(batch)
        for subnet, inside in zip(drawn, limits.inside(drawn), strict=True):
            if inside and (own := canonical(subnet, widest)) not in known:  # few are inside
                kept[own] = None
    return list(kept)[:count]


def _tries(space: SearchSpace, count: int) -> int:
    """Return how many draws are made for so many subnets."""
    return min(_DRAWS * count, _OF_ALL * count_subnets(space))


def _batches(total: int, size: int) -> Iterator[int]:
    return (min(size, total - start) for start in range(0, total, size))
