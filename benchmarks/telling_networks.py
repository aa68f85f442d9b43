"""Networks that tell most of the terms of the latency model: a design for profiles that was tried, and not taken.

Every second network is the one, of many candidates, that the networks before it say least about: it adds most to the
determinant of X^T X, X being the networks' terms over their sum (a greedy D-optimal design). The candidates are random
networks, and such as take the ends of every choice alone. The other half is random: a machine is no sum of terms, and a
fit to the ends alone would be off in the middle. `profile_cost.py` compares it with random networks alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.regression import Values

_RANDOM, _OF_ENDS = 250, 250  # candidates
_RIDGE = 1e-3  # of a matrix that has no inverse before there are as many networks as terms


def most_telling(space: SearchSpace, rng: np.random.Generator) -> Iterator[ArchSpec]:
    """Yield networks of a space in that order, without an end; in a small space some come again.

    The first two are the widest and the narrowest, beyond which nothing lies.
    """
    edges = [space.widest().arch, space.narrowest().arch]
    drawn = [space.sample(rng).arch for _ in range(_RANDOM)]
    candidates = list(dict.fromkeys([*edges, *drawn, *(_of_ends(space, rng) for _ in range(_OF_ENDS))]))
    design, places = Design(relative_terms(candidates)), {arch: place for place, arch in enumerate(candidates)}
    for arch in edges:
        design.take(places[arch])
        yield arch
    for arch in drawn:
        design.take(places[arch])
        yield arch
        if (place := design.best()) is not None:
            design.take(place)
            yield candidates[place]
    while True:
        yield space.sample(rng).arch


def relative_terms(archs: list[ArchSpec]) -> Values:
    """Return each network's terms, as if all made up the same share of the mean network: `(networks, terms)`.

    They are over their sum, since the fit's errors are relative, and each column's mean square is 1.
    """
    terms = Terms.among(archs).of(archs)
    mean = terms.mean(axis=0)
    shares = terms / np.where(mean > 0, mean, 1)
    shares /= shares.sum(axis=1, keepdims=True)
    size = np.sqrt((shares**2).mean(axis=0))
    return np.asarray(shares / np.where(size > 0, size, 1), dtype=np.float64)


class Design:
    """Which of the candidates are taken, and which adds most to them."""

    def __init__(self, terms: Values) -> None:
        self._terms = terms
        self._inverse = np.eye(terms.shape[1]) / _RIDGE
        self._taken = np.zeros(len(terms), dtype=bool)

    def take(self, place: int) -> None:
        """Count a candidate in."""
        self._taken[place] = True
        row = self._terms[place]
        step = self._inverse @ row
        self._inverse -= np.outer(step, step) / (1 + row @ step)  # Sherman and Morrison

    def best(self) -> int | None:
        """Return the candidate that adds most to the determinant; None where all are taken."""
        if self._taken.all():
            return None
        gains = np.einsum("ij,jk,ik->i", self._terms, self._inverse, self._terms)
        return int(np.argmax(np.where(self._taken, -1.0, gains)))


def _of_ends(space: SearchSpace, rng: np.random.Generator) -> ArchSpec:
    """Draw a network of the smallest and the largest of every choice, with any share of the droppable blocks."""
    share = rng.random()

    def pick(choices: tuple[int, ...], _: int) -> int:
        return int(rng.choice((min(choices), max(choices))))

    return space.build(space.widest(), pick, lambda _: bool(rng.random() < share)).arch
