"""The cheapest and the dearest network of a search space, by any cost.

More of a dimension never costs less, so that they are the narrowest and the widest. Which mixer costs least, though, is
another one in latency than in MACs, and another one on each grid: there each is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec


def ends(space: SearchSpace, cost: Callable[[Sequence[ArchSpec]], ArrayLike]) -> tuple[ArchSpec, ArchSpec]:
    """Return the networks that cost least and most; `cost` gives that of each, `(networks,)`.

    Mixers are chosen stage after stage, for all of its blocks: for a cost that is a sum over blocks, the end is exact.
    """
    least, most = space.narrowest().arch, space.widest().arch
    for number, mixers in enumerate(space.mixers_by_cost):
        if len(mixers) > 1:
            least = _best(cost, [_with(least, number, mixer) for mixer in reversed(mixers)], np.argmin)
            most = _best(cost, [_with(most, number, mixer) for mixer in mixers], np.argmax)
    return least, most


def _best(
    cost: Callable[[Sequence[ArchSpec]], ArrayLike], archs: list[ArchSpec], choose: Callable[[ArrayLike], np.intp]
) -> ArchSpec:
    return archs[int(choose(np.asarray(cost(archs))))]


def _with(arch: ArchSpec, number: int, mixer: str) -> ArchSpec:
    """Return the network with one mixer in all blocks of a stage, counted from 0."""
    stages = list(arch.stages)
    stages[number] = replace(
        stages[number], blocks=tuple(replace(block, mixer=mixer) for block in stages[number].blocks)
    )
    return replace(arch, stages=tuple(stages))
