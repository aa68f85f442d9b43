"""Search spaces: which subnets a supernet holds, and how to draw, mutate and cross them (paper, sections 3.3 and 4).

Every random choice comes from the `numpy.random.Generator` that is passed in, and nothing here loops without a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from resnas_deploy.arch.spec import ArchSpec, Block, Stage, Subnet
from resnas_deploy.errors import BadInput, shown

T = TypeVar("T")
Pick = Callable[[tuple[int, ...], int], int]  # (choices, what is there now or 0) -> the value to take
Keep = Callable[[bool], bool]  # (whether a droppable block is kept now) -> whether to keep it

DROP_PROBABILITY = 0.5  # of a droppable block, in a random subnet


@dataclass(frozen=True)
class StageSpace:
    """The choices of one stage. Each block chooses its heads and hidden channels for itself."""

    widths: tuple[int, ...]
    heads: tuple[int, ...]
    head_dim: int
    hidden: tuple[int, ...]
    blocks: int  # positions, dropped ones included
    droppable: tuple[int, ...]  # positions, counted from 1


@dataclass(frozen=True)
class SearchSpace:
    """A supernet's subnets. `widest` is the supernet itself."""

    name: str
    stages: tuple[StageSpace, ...]
    classes: int = 1000
    image_size: int = 224
    patch_size: int = 14
    stem_mid_width: int = 24

    def sample(self, rng: np.random.Generator) -> Subnet:
        """Draw a random subnet: every dimension evenly, droppable blocks dropped with probability one half."""
        return self.build(
            self.widest(), lambda choices, _: int(rng.choice(choices)), lambda _: rng.random() >= DROP_PROBABILITY
        )

    def mutate(self, subnet: Subnet, probability: float, rng: np.random.Generator) -> Subnet:
        """Return `subnet` with every dimension redrawn, and every block's flag flipped, with the given probability."""

        def pick(choices: tuple[int, ...], now: int) -> int:
            return int(rng.choice(choices)) if rng.random() < probability else now

        def keep(now: bool) -> bool:
            return now != (rng.random() < probability)

        return self.build(subnet, pick, keep)

    def crossover(self, first: Subnet, second: Subnet, rng: np.random.Generator) -> Subnet:
        """Return a child that takes every dimension, and every block's flag, from either parent with equal chance."""
        return self.blend(first, second, 0.5, rng)

    def blend(self, first: Subnet, second: Subnet, share: float, rng: np.random.Generator) -> Subnet:
        """Return a child that takes each of those from the second with the chance `share`, else from the first."""

        def either(a: T, b: T) -> T:
            return b if rng.random() < share else a

        stages, kept = [], []
        for a, b, kept_a, kept_b in zip(first.full.stages, second.full.stages, first.kept, second.kept, strict=True):
            blocks = tuple(
                Block(either(x.heads, y.heads), x.head_dim, either(x.hidden, y.hidden))
                for x, y in zip(a.blocks, b.blocks, strict=True)
            )
            stages.append(Stage(either(a.width, b.width), blocks))
            kept.append(tuple(either(x, y) for x, y in zip(kept_a, kept_b, strict=True)))
        return self._subnet(tuple(stages), tuple(kept))

    def contains(self, subnet: Subnet) -> bool:
        """Whether this space can produce `subnet`."""
        full, widest = subnet.full, self.widest().full
        if replace(full, stages=widest.stages) != widest:  # stem, image size and classes are the supernet's
            return False
        if [len(stage.blocks) for stage in full.stages] != [space.blocks for space in self.stages]:
            return False
        for space, stage, kept in zip(self.stages, full.stages, subnet.kept, strict=True):
            if stage.width not in space.widths or kept != _closed(space, kept):
                return False
            if not all(
                block.head_dim == space.head_dim and block.heads in space.heads and block.hidden in space.hidden
                for block in stage.blocks
            ):
                return False
        return True

    def holds(self, arch: ArchSpec) -> bool:
        """Whether some subnet of this space is `arch`, which does not tell at which positions its blocks were."""
        kept = []
        for space, stage in zip(self.stages, arch.stages, strict=True):
            spare = len(stage.blocks) - (space.blocks - len(space.droppable))
            if spare not in range(len(space.droppable) + 1):
                return False
            # The last droppable blocks are dropped first, since a drop takes those right after with it.
            dropped = space.droppable[spare:]
            kept.append(tuple(position not in dropped for position in range(1, space.blocks + 1)))
        stages = []
        for stage, flags in zip(arch.stages, kept, strict=True):
            blocks = iter(stage.blocks)
            stages.append(replace(stage, blocks=tuple(next(blocks) if keep else stage.blocks[0] for keep in flags)))
        return self.contains(Subnet(replace(arch, stages=tuple(stages)), tuple(kept)))

    def widest(self) -> Subnet:
        """Return the supernet: the largest choice everywhere, nothing dropped."""
        return self._uniform(max, keep=True)

    def narrowest(self) -> Subnet:
        """Return the smallest choice everywhere, every droppable block dropped."""
        return self._uniform(min, keep=False)

    def _uniform(self, choose: Callable[[tuple[int, ...]], int], keep: bool) -> Subnet:
        stages = tuple(
            Stage(choose(s.widths), (Block(choose(s.heads), s.head_dim, choose(s.hidden)),) * s.blocks)
            for s in self.stages
        )
        return self._subnet(stages, tuple((keep,) * space.blocks for space in self.stages))

    def build(self, start: Subnet, pick: Pick, keep: Keep) -> Subnet:
        """Make a subnet from another by asking for every dimension and every block's flag, always in the same order."""
        stages, kept = [], []
        for space, stage, flags in zip(self.stages, start.full.stages, start.kept, strict=True):
            blocks = tuple(
                Block(pick(space.heads, block.heads), space.head_dim, pick(space.hidden, block.hidden))
                for block in stage.blocks
            )
            stages.append(Stage(pick(space.widths, stage.width), blocks))
            kept.append(tuple(keep(flag) for flag in flags))
        return self._subnet(tuple(stages), tuple(kept))

    def _subnet(self, stages: tuple[Stage, ...], kept: tuple[tuple[bool, ...], ...]) -> Subnet:
        arch = ArchSpec(stages, self.classes, self.image_size, self.patch_size, self.stem_mid_width)
        return Subnet(arch, tuple(_closed(space, flags) for space, flags in zip(self.stages, kept, strict=True)))


def _closed(space: StageSpace, kept: tuple[bool, ...]) -> tuple[bool, ...]:
    """Return the flags that the visiting order allows: fixed blocks stay, a drop drops droppable ones right after."""
    flags: list[bool] = []
    dropping = False
    for position, keep in enumerate(kept, start=1):
        dropping = position in space.droppable and (dropping or not keep)
        flags.append(not dropping)
    return tuple(flags)


def _down(first: int, last: int, step: int) -> tuple[int, ...]:
    return tuple(range(first, last - 1, -step))


SPACES = {
    space.name: space
    for space in (
        SearchSpace(
            "tiny",
            (
                StageSpace((256, 224, 192, 176, 160), (6, 5, 4, 3), 32, _down(768, 384, 64), 6, (2, 4, 6)),
                StageSpace((512, 448, 384, 352, 320), (12, 10, 8, 6), 48, _down(1536, 768, 128), 6, (2, 4, 6)),
                StageSpace((1024, 896, 768, 704, 640), (12, 10, 8, 6), 64, _down(3072, 1536, 256), 6, (2, 4, 6)),
            ),
        ),
        SearchSpace(  # the paper's small and medium networks are both searched in it
            "small",
            (
                StageSpace((320, 280, 240, 220, 200), (8, 7, 6, 5), 32, _down(960, 480, 80), 7, (2, 4, 6)),
                StageSpace((640, 560, 480, 440, 400), (16, 14, 12, 10), 48, _down(1920, 960, 160), 7, (2, 4, 6)),
                StageSpace((1280, 1120, 960, 880, 800), (16, 14, 12, 10), 64, _down(3840, 1920, 320), 7, (2, 4, 6)),
            ),
        ),
        SearchSpace(  # ours: the same kind of network in small, for images of 32 pixels
            "demo",
            (
                StageSpace((48, 40, 32), (3, 2, 1), 16, (192, 160, 128, 96), 3, (2, 3)),
                StageSpace((96, 80, 64), (4, 3, 2), 24, (384, 320, 256, 192), 3, (2, 3)),
                StageSpace((160, 128, 112), (5, 4, 3), 32, (640, 512, 384, 320), 3, (2, 3)),
            ),
            classes=10,
            image_size=32,
            patch_size=4,
            stem_mid_width=16,
        ),
    )
}


def space_named(name: str) -> SearchSpace:
    """Return the search space of that name. Raise `BadInput` that lists the known ones."""
    if name not in SPACES:
        raise BadInput(f"`space` must be one of {', '.join(SPACES)}, found {shown(name)}")
    return SPACES[name]
