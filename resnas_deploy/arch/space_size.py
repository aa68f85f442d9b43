"""How many subnets a search space has, exactly, without going through them."""

from __future__ import annotations

import math

from resnas_deploy.arch.space import SearchSpace, StageSpace

_MANY = 1_000_000  # subnets, which a power of ten says better


def count_subnets(space: SearchSpace) -> int:
    """Count the subnets that differ in what they compute: in a dimension, or in which blocks of the supernet they keep.

    What a dropped block would have been makes no other subnet. Of droppable blocks side by side the first ones are kept
    (`SearchSpace`), so that a run of n of them has n + 1 states, not 2^n.
    """
    return len(space.stem_mid_widths) * math.prod(map(_stage_subnets, space.stages, _mixers(space)))


def count_architectures(space: SearchSpace) -> int:
    """Count the networks that the subnets are, whose blocks have lost their positions: `ArchSpec`s that differ."""
    return len(space.stem_mid_widths) * math.prod(map(_stage_architectures, space.stages, _mixers(space)))


def counted(space: SearchSpace) -> str:
    """Return the number of subnets for people."""
    count = count_subnets(space)
    power = f" ({power_of_ten(count)})" if count >= _MANY else ""
    return f"{count:,} subnet{'s' if count > 1 else ''}{power}"


def power_of_ten(count: int) -> str:
    """Return about how many that is: 10^27.7."""
    return f"10^{math.log10(count):.1f}"


def _stage_subnets(stage: StageSpace, mixers: int) -> int:
    each = mixers * _blocks(stage)
    kept: int = each ** (stage.blocks - len(stage.droppable))
    states: list[int] = [sum(each**count for count in range(run + 1)) for run in _runs(stage)]
    return len(stage.widths) * kept * math.prod(states)


def _stage_architectures(stage: StageSpace, mixers: int) -> int:
    fixed = stage.blocks - len(stage.droppable)
    states: list[int] = [(mixers * _blocks(stage)) ** count for count in range(fixed, stage.blocks + 1)]
    return len(stage.widths) * sum(states)


def _mixers(space: SearchSpace) -> list[int]:
    """Count the mixers of each stage that differ on its grid: a window that covers it is no other than `global`."""
    return [len(mixers) for mixers in space.mixers_by_cost]


def _blocks(stage: StageSpace) -> int:
    """Count the choices of one block, but for its mixer."""
    return len(stage.heads) * len(stage.head_dims) * len(stage.hidden)


def _runs(stage: StageSpace) -> list[int]:
    """Return how many droppable blocks there are in each row of them without a fixed one between."""
    runs, before = list[int](), -1
    for position in sorted(stage.droppable):
        if position == before + 1 and runs:
            runs[-1] += 1
        else:
            runs.append(1)
        before = position
    return runs
