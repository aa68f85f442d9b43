"""Small networks in which one choice of a space counts for most of what is measured."""

from __future__ import annotations

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.shaping.candidates import STEM, Dimension

REPEATED = 4  # blocks of the stage whose choice is looked at, so that they take most of the time


def piece(space: SearchSpace, dimension: Dimension, value: int) -> ArchSpec:
    """Return the network that stands for one value of a dimension.

    Its stage has some equal blocks of the middle choices, all but that of the dimension, which is the value. The stages
    before it, whose grids lead to its own, have one narrowest block each, and so has one stage after it; where there is
    none, a block more, since the last one of a network computes the class token alone. Between two values of a
    dimension nothing else differs.
    """
    stage = dimension.stage or 0
    stages = [Stage(min(each.widths), (_narrowest(each),)) for each in space.stages[: max(2, stage + 2)]]
    mid_width = _middle(space.stem_mid_widths)
    if dimension.name == STEM:
        mid_width = value
    else:
        looked_at = space.stages[stage]
        width = value if dimension.name == "widths" else _middle(looked_at.widths)
        last = (_narrowest(looked_at),) if stage == len(space.stages) - 1 else ()
        stages[stage] = Stage(width, (_block(looked_at, dimension.name, value),) * REPEATED + last)
    return ArchSpec(tuple(stages), space.classes, space.image_size, space.patch_size, mid_width)


def _block(stage: StageSpace, name: str, value: int) -> Block:
    sizes = {each: _middle(getattr(stage, each)) for each in ("heads", "head_dims", "hidden")}
    if name in sizes:
        sizes[name] = value
    return Block(sizes["heads"], sizes["head_dims"], sizes["hidden"])


def _narrowest(stage: StageSpace) -> Block:
    return Block(min(stage.heads), min(stage.head_dims), min(stage.hidden))


def _middle(choices: tuple[int, ...]) -> int:
    return sorted(choices)[len(choices) // 2]
