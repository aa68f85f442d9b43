"""Small networks in which one choice of a space counts for most of what is measured."""

from __future__ import annotations

from typing import Any

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.shaping.candidates import HEADS, MIXERS, SIZES, Dimension, Value

REPEATED = 4  # blocks of the stage whose choice is looked at, so that they take most of the time


def piece(space: SearchSpace, dimension: Dimension, value: Value) -> ArchSpec:
    """Return the network that stands for one value of a dimension.

    Its stage has some equal blocks of the middle choices, all but that of the dimension, which is the value. The stages
    before it, whose grids lead to its own, have one narrowest block each, and so has one stage after it; where there is
    none, a block more, since the last one of a network computes the class token alone. Between two values of a
    dimension nothing else differs.
    """
    stage = dimension.stage or 0
    wanted = space.stages[: max(2, stage + 2)]
    stages = [Stage(min(each.widths), (_narrowest(space, number),)) for number, each in enumerate(wanted)]
    mid_width = _middle(space.stem_mid_widths)
    if dimension.stage is None:
        mid_width = int(value)
    else:
        width = int(value) if dimension.name == "widths" else _middle(space.stages[stage].widths)
        last = (_narrowest(space, stage),) if stage == len(space.stages) - 1 else ()
        stages[stage] = Stage(width, (_block(space, dimension, value),) * REPEATED + last)
    return ArchSpec(tuple(stages), space.classes, space.image_size, space.patch_size, mid_width)


def _block(space: SearchSpace, dimension: Dimension, value: Value) -> Block:
    """Return the block of a stage's middle choices, but for the value."""
    number = dimension.stage or 0
    stage, mixers = space.stages[number], space.mixers_by_cost[number]
    chosen: dict[str, Any] = {each: _middle(getattr(stage, each)) for each in SIZES}
    chosen[MIXERS] = mixers[(len(mixers) - 1) // 2]
    chosen[dimension.name] = value
    return Block(chosen[HEADS], chosen["head_dims"], chosen["hidden"], chosen[MIXERS])


def _narrowest(space: SearchSpace, number: int) -> Block:
    stage = space.stages[number]
    return Block(min(stage.heads), min(stage.head_dims), min(stage.hidden), space.mixers_by_cost[number][-1])


def _middle(choices: tuple[int, ...]) -> int:
    return sorted(choices)[len(choices) // 2]
