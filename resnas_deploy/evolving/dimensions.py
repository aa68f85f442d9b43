"""The dimensions of a search space: what may be more or less of it, stage by stage, and how much of it a subnet has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Block, Subnet

Numbers = NDArray[np.float64]
Values = tuple[int | str, ...]  # of one range: sizes ascending, or mixers by their names
STEM, WIDTH, BLOCKS, MIXER = "stem width", "width", "blocks", "mixer"
BLOCK_SIZES: dict[str, tuple[str, Callable[[Block], int]]] = {  # and the field of a `StageSpace` that has the choices
    "heads": ("heads", lambda block: block.heads),
    "head dim": ("head_dims", lambda block: block.head_dim),
    "hidden": ("hidden", lambda block: block.hidden),
}


@dataclass(frozen=True)
class Dimension:
    """One range of a space."""

    what: str  # stem width, width, blocks, heads, head dim, hidden, mixer
    stage: int = 0  # counted from 1; 0: of the whole network
    mixer: str = ""  # of several, the one whose share of the stage's blocks this is

    def __str__(self) -> str:
        what = f"{self.what} {self.mixer}" if self.mixer else self.what
        return f"stage {self.stage}: {what}" if self.stage else what


def dimensions(space: SearchSpace) -> tuple[Dimension, ...]:
    """Return those of which the space has a choice."""
    found = [Dimension(STEM)] + [
        Dimension(what, number) for number in range(1, len(space.stages) + 1) for what in (WIDTH, BLOCKS, *BLOCK_SIZES)
    ]
    found += [
        Dimension(MIXER, number, mixer)
        for number in range(1, len(space.stages) + 1)
        for mixer in different_mixers(space, number)
    ]
    return tuple(dimension for dimension in found if len(values(space, dimension)) > 1)


def values(space: SearchSpace, dimension: Dimension) -> Values:
    """Return what a dimension may be; of a mixer all of its stage."""
    if dimension.mixer:
        return different_mixers(space, dimension.stage)
    return sizes(space, dimension)


def different_mixers(space: SearchSpace, stage: int) -> tuple[str, ...]:
    """Return the mixers of a stage, counted from 1, in the space's order: of those that are the same there, one."""
    return tuple(mixer for mixer in space.stages[stage - 1].mixers if mixer in space.mixers_by_cost[stage - 1])


def sizes(space: SearchSpace, dimension: Dimension) -> tuple[int, ...]:
    """Return what a dimension of numbers may be, ascending; of blocks how many a subnet has."""
    if not dimension.stage:
        return tuple(sorted(space.stem_mid_widths))
    stage = space.stages[dimension.stage - 1]
    if dimension.what == BLOCKS:
        return tuple(range(stage.blocks - len(stage.droppable), stage.blocks + 1))
    name = "widths" if dimension.what == WIDTH else BLOCK_SIZES[dimension.what][0]
    return tuple(sorted(getattr(stage, name)))


def step(space: SearchSpace, dimension: Dimension) -> float:
    """Return how far neighbouring values of a dimension are apart, in the mean; of a mixer all blocks of the stage."""
    if dimension.mixer:
        return 1.0
    found = sizes(space, dimension)
    return (found[-1] - found[0]) / (len(found) - 1)


def in_steps(space: SearchSpace, subnets: Sequence[Subnet]) -> Numbers:
    """Return how much each subnet has of each dimension, in steps of it: `(subnets, dimensions)`.

    What each block chooses for itself counts as the mean of the blocks that are kept.
    """
    asked = dimensions(space)
    steps = np.array([step(space, dimension) for dimension in asked])
    rows = [[_of(subnet, dimension) for dimension in asked] for subnet in subnets]
    return np.asarray(np.array(rows, dtype=np.float64).reshape(len(subnets), len(asked)) / steps)


def _of(subnet: Subnet, dimension: Dimension) -> float:
    if not dimension.stage:
        return subnet.full.stem_mid_width
    stage, flags = subnet.full.stages[dimension.stage - 1], subnet.kept[dimension.stage - 1]
    if dimension.what == WIDTH:
        return stage.width
    if dimension.what == BLOCKS:
        return sum(flags)
    if dimension.mixer:
        return sum(block.mixer == dimension.mixer for block in compress(stage.blocks, flags)) / sum(flags)
    size = BLOCK_SIZES[dimension.what][1]
    return sum(map(size, compress(stage.blocks, flags))) / sum(flags)
