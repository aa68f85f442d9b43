"""Scores the subnets of a search and keeps them in its store; what is there is not scored again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.searching.candidate import Candidate, Score
from resnas_deploy.searching.costs import CostKind, costs_of
from resnas_deploy.searching.evolution import Evolution
from resnas_deploy.searching.halving import halve
from resnas_deploy.searching.pool import Pool
from resnas_deploy.searching.store import SearchStore

Tell = Callable[[str], None]  # what is being done, beside the iteration


class Evaluation:
    """Scores subnets, a wave of them at a time."""

    def __init__(
        self, store: SearchStore, pool: Pool, costs: Sequence[CostKind], evolution: Evolution, images: int
    ) -> None:
        self._store, self._pool, self._costs, self._evolution, self._images = store, pool, costs, evolution, images
        self.kept = {candidate.subnet: candidate for candidate in store.candidates()}

    def of(self, subnets: Sequence[Subnet], iteration: int, target: int | None) -> list[Candidate]:
        """Return the subnets as candidates, scored on all images unless they are hopeless to reach `target`."""
        new = [subnet for subnet in subnets if subnet not in self.kept]
        self._keep(self._candidates(new, self._pool.scores(new, target), iteration))
        return [self.kept[subnet] for subnet in subnets]

    def halving(self, subnets: Sequence[Subnet], iteration: int, target: int | None, tell: Tell) -> list[Candidate]:
        """Return the subnets as candidates, scored by successive halving; those left behind count as stopped."""

        def look(left: Mapping[Subnet, Score], images: int) -> Iterator[list[Candidate]]:
            for wave in waves(list(left), self._evolution.parents):
                tell(f", {len(left)} on {images} images")
                scores = self._pool.scores(wave, target, [left[subnet] for subnet in wave], images)
                yield self._candidates(wave, scores, iteration)

        halve(subnets, self.kept, self._images, look, self._keep, self._evolution.best_first)
        return [self.kept[subnet] for subnet in subnets]

    def _candidates(self, subnets: Sequence[Subnet], scores: Sequence[Score], iteration: int) -> list[Candidate]:
        costs = costs_of(self._costs, subnets)
        return [Candidate(*found, iteration) for found in zip(subnets, scores, costs, strict=True)]

    def _keep(self, candidates: Sequence[Candidate]) -> None:
        self._store.add(candidates)
        self.kept |= {candidate.subnet: candidate for candidate in candidates}


def waves(subnets: Sequence[Subnet], size: int) -> list[Sequence[Subnet]]:
    """Split subnets into parts of so many: after each, what was found is kept."""
    return [subnets[start : start + size] for start in range(0, len(subnets), size)]
