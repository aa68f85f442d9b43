"""All subnets of a small search space, one by one, to compare what counts and searches them with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise, product

from resnas_deploy.arch.mixer import mixer_named
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.arch.spec import ArchSpec, Block, Stage, Subnet

Part = tuple[Stage, tuple[bool, ...]]


def every_subnet(space: SearchSpace) -> list[Subnet]:
    """Each subnet that differs in what it computes; a dropped block has the widest's dimensions."""
    return [
        Subnet(
            ArchSpec(tuple(stage for stage, _ in parts), space.classes, space.image_size, space.patch_size, mid),
            tuple(kept for _, kept in parts),
        )
        for mid in space.stem_mid_widths
        for parts in product(*(list(_stages(*found)) for found in zip(space.stages, _mixers(space), strict=True)))
    ]


def _mixers(space: SearchSpace) -> list[list[str]]:
    """The mixers of each stage that differ on its grid, that of the widest first."""
    found = []
    for number, (stage, whole) in enumerate(zip(space.stages, space.widest().full.stages, strict=True)):
        names = [whole.blocks[0].mixer, *stage.mixers]
        found.append(list({mixer_named(name).at(space.side(number)): name for name in reversed(names)}.values())[::-1])
    return found


def _stages(space: StageSpace, mixers: list[str]) -> Iterator[Part]:
    places = range(1, space.blocks + 1)
    for width in space.widths:
        for kept in product(*((True, False) if place in space.droppable else (True,) for place in places)):
            if _allowed(space, kept):
                for blocks in product(*(_blocks(space, keep, mixers) for keep in kept)):
                    yield Stage(width, blocks), kept


def _allowed(space: StageSpace, kept: tuple[bool, ...]) -> bool:
    """A droppable block right after a dropped one is dropped too."""
    return not any(
        not one and other and place in space.droppable for place, (one, other) in enumerate(pairwise(kept), start=2)
    )


def _blocks(space: StageSpace, keep: bool, mixers: list[str]) -> list[Block]:
    if not keep:
        return [Block(max(space.heads), max(space.head_dims), max(space.hidden), mixers[0])]
    return [Block(*dimensions) for dimensions in product(space.heads, space.head_dims, space.hidden, mixers)]
