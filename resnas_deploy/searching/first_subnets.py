"""The first subnets of a search: widths and depth random, heads and hidden channels cut until the limits hold.

The size of heads is cut where there are several; mixers and the stem's width are as random as the other widths.

That is the paper's first population (arXiv 2109.00642, section 3.4): each subnet costs just less than it may, where
random ones would lie anywhere below and above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Block, Stage, Subnet
from resnas_deploy.searching.costs import CostLimits

_SCARCE = 0.1  # of the draws inside the limits: with fewer, they lie near an end of the space


@dataclass(frozen=True)
class _Start:
    """A subnet of which nothing is cut yet, and the order of the cuts."""

    subnet: Subnet
    cuts: NDArray[np.intp]  # (cuts,): three times the position of a block, and which of its three dimensions


class FirstSubnets:
    """Draws subnets inside the limits."""

    def __init__(self, space: SearchSpace, limits: CostLimits, rng: np.random.Generator) -> None:
        self._space, self._limits, self._rng = space, limits, rng
        self._scarce = False
        self._descending = [
            [sorted(choices, reverse=True) for choices in (stage.heads, stage.hidden, stage.head_dims)]
            for stage in space.stages
        ]

    def draw(self, tries: int) -> list[Subnet]:
        """Return those of `tries` draws that came to be inside; where nothing limits, random subnets."""
        if not self._limits.limits or not self._limits.window:
            return [self._space.sample(self._rng) for _ in range(tries)]
        starts = [self._start(near_an_end=self._scarce and number % 2 == 1) for number in range(tries)]
        cut = self._cut(starts)
        found = [subnet for subnet, inside in zip(cut, self._limits.inside(cut), strict=True) if inside]
        self._scarce = len(found) < _SCARCE * tries
        return found

    def _start(self, *, near_an_end: bool) -> _Start:
        """Draw widths, depth and the order of cuts: each that is left is as likely as any other to be the next."""
        space, rng = self._space, self._rng
        subnet = space.sample(rng)
        if near_an_end:
            ends = (space.narrowest(), space.widest())
            subnet = space.blend(subnet, ends[int(rng.integers(2))], float(rng.random()), rng)
        cuts, position = list[int](), 0
        for stage, kept in zip(space.stages, subnet.kept, strict=True):
            for keep in kept:
                if keep:  # a dropped block costs nothing
                    for dimension, choices in enumerate((stage.heads, stage.hidden, stage.head_dims)):
                        cuts += [3 * position + dimension] * (len(choices) - 1)
                position += 1
        return _Start(subnet, rng.permutation(np.array(cuts, dtype=np.intp)))

    def _cut(self, starts: Sequence[_Start]) -> list[Subnet]:
        """Return each with the fewest cuts that make it meet the limits, but for those that cannot come inside.

        A cut makes no subnet dearer, so the number is found by bisection, for all of them at once.
        """
        all_cuts = [len(start.cuts) for start in starts]
        least = self._limits.highest([self._with(*pair) for pair in zip(starts, all_cuts, strict=True)])
        most = self._limits.highest([self._with(start, 0) for start in starts])
        possible = (least <= 1) & (most >= self._limits.window)
        left = [start for start, holds in zip(starts, possible, strict=True) if holds]
        low = np.zeros(len(left), dtype=np.intp)
        high = np.array([len(start.cuts) for start in left], dtype=np.intp)
        while (low < high).any():
            middle = (low + high) // 2
            met = self._limits.highest([self._with(*pair) for pair in zip(left, middle.tolist(), strict=True)]) <= 1
            low, high = np.where(met, low, np.minimum(middle + 1, high)), np.where(met, middle, high)
        return [self._with(*pair) for pair in zip(left, low.tolist(), strict=True)]

    def _with(self, start: _Start, count: int) -> Subnet:
        """Return the subnet after so many cuts, each of which takes the next smaller choice."""
        full, positions = start.subnet.full, sum(len(stage.blocks) for stage in start.subnet.full.stages)
        done = iter(np.bincount(start.cuts[:count], minlength=3 * positions).tolist())
        stages = []
        for (heads, hidden, sizes), stage in zip(self._descending, full.stages, strict=True):
            blocks = tuple(
                Block(heads[next(done)], hidden=hidden[next(done)], head_dim=sizes[next(done)], mixer=block.mixer)
                for block in stage.blocks
            )
            stages.append(Stage(stage.width, blocks))
        return Subnet(replace(full, stages=tuple(stages)), start.subnet.kept)
