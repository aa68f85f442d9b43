"""Search spaces: which subnets a supernet holds, and how to draw, mutate and cross them (paper, sections 3.3 and 4).

A space is a file: `weights/space_files.py` reads those of the package, arch/spaces/*.toml, and anybody's own.
Every random choice comes from the `numpy.random.Generator` that is passed in, and nothing here loops without a bound.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np

from resnas_deploy.arch.mixer import Mixer, mixer_named
from resnas_deploy.arch.spec import FEWEST_STAGES, MOST_STAGES, ArchSpec, Block, Stage, Subnet, grid_side
from resnas_deploy.arch.stage_space import GLOBAL_ALONE, check_choices
from resnas_deploy.arch.stage_space import StageSpace as StageSpace
from resnas_deploy.errors import BadInput, shown

T = TypeVar("T")
Keep = Callable[[bool], bool]  # (whether a droppable block is kept now) -> whether to keep it

DROP_PROBABILITY = 0.5  # of a droppable block, in a random subnet
LONGEST_NAME = 60  # characters
_NOT_OF_THE_SUBNETS = ("name", "classes")  # two spaces that differ in these alone have the same subnets


class Pick(Protocol):
    """Chooses a dimension: of its choices, sizes in the order of the space or mixers from the dearest down."""

    def __call__(self, choices: tuple[T, ...], now: T, /) -> T:
        """Return the value to take, where `now` is the one that is there."""


@dataclass(frozen=True)
class SearchSpace:
    """A supernet's subnets. `widest` is the supernet itself.

    Raises `BadInput` for a space with a subnet that cannot be: with a stage that is narrower than the one before, or of
    an image size that is no multiple of the patch size.
    """

    name: str
    stages: tuple[StageSpace, ...]
    classes: int = 1000
    image_size: int = 224
    patch_size: int = 14
    stem_mid_widths: tuple[int, ...] = (24,)  # of the stem's 3x3 convolutions; 0 alone: a plain stem

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and 0 < len(self.name) <= LONGEST_NAME and self.name.isprintable()):
            raise BadInput(f"name must be 1 to {LONGEST_NAME} printable characters, found {shown(self.name)}")
        if not FEWEST_STAGES <= len(self.stages) <= MOST_STAGES:
            raise BadInput(f"stages must be {FEWEST_STAGES} to {MOST_STAGES} stages, found {len(self.stages)}")
        if self.stem_mid_widths != (0,):
            check_choices(self.stem_mid_widths, "stem_mid_widths")
        for number, (stage, following) in enumerate(zip(self.stages, self.stages[1:], strict=False)):
            if min(following.widths) < max(stage.widths):
                raise BadInput(
                    f"stages[{number + 1}].widths must all be at least the largest of stages[{number}], "
                    f"{max(stage.widths)} (a reduction's residual is padded, never cut), found {min(following.widths)}"
                )
        self.widest()  # whose other fields are checked

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell the subnets of this space from those of others, image size included."""
        content = {name: value for name, value in asdict(self).items() if name not in _NOT_OF_THE_SUBNETS}
        for stage, own in zip(self.stages, content["stages"], strict=True):
            if stage.mixers == GLOBAL_ALONE:
                del own["mixers"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def is_like(self, other: SearchSpace) -> bool:
        """Whether both have the same subnets, but for the image size and the classes."""
        return (self.stages, self.patch_size, self.stem_mid_widths) == (
            other.stages,
            other.patch_size,
            other.stem_mid_widths,
        )

    def with_image_size(self, image_size: int) -> SearchSpace:
        """Return the same subnets on images of another size."""
        return replace(self, image_size=image_size)

    def with_classes(self, classes: int) -> SearchSpace:
        """Return the same subnets with a head for so many classes."""
        return replace(self, classes=classes)

    def sample(self, rng: np.random.Generator) -> Subnet:
        """Draw a random subnet: every dimension evenly, droppable blocks dropped with probability one half."""
        return self.build(
            self.widest(), lambda choices, _: _drawn(choices, rng), lambda _: rng.random() >= DROP_PROBABILITY
        )

    def mutate(self, subnet: Subnet, probability: float, rng: np.random.Generator) -> Subnet:
        """Return `subnet` with every dimension redrawn, and every block's flag flipped, with the given probability."""

        def pick(choices: tuple[T, ...], now: T) -> T:
            return _drawn(choices, rng) if rng.random() < probability else now

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

        def sized(a: Block, b: Block, space: StageSpace) -> int:
            return either(a.head_dim, b.head_dim) if len(space.head_dims) > 1 else a.head_dim

        def mixed(a: Block, b: Block, space: StageSpace) -> str:
            return either(a.mixer, b.mixer) if len(space.mixers) > 1 else a.mixer

        stages, kept = [], []
        for space, a, b, kept_a, kept_b in zip(
            self.stages, first.full.stages, second.full.stages, first.kept, second.kept, strict=True
        ):
            blocks = tuple(
                Block(either(x.heads, y.heads), sized(x, y, space), either(x.hidden, y.hidden), mixed(x, y, space))
                for x, y in zip(a.blocks, b.blocks, strict=True)
            )
            stages.append(Stage(either(a.width, b.width), blocks))
            kept.append(tuple(either(x, y) for x, y in zip(kept_a, kept_b, strict=True)))
        mid_widths = first.full.stem_mid_width, second.full.stem_mid_width
        return self._subnet(tuple(stages), tuple(kept), either(*mid_widths) if self._chooses_stem else mid_widths[0])

    def contains(self, subnet: Subnet) -> bool:
        """Whether this space can produce `subnet`."""
        full, widest = subnet.full, self.widest().full
        if full.stem_mid_width not in self.stem_mid_widths:
            return False
        # Image size, patch size and classes are the supernet's.
        if replace(full, stages=widest.stages, stem_mid_width=widest.stem_mid_width) != widest:
            return False
        if [len(stage.blocks) for stage in full.stages] != [space.blocks for space in self.stages]:
            return False
        for space, stage, kept in zip(self.stages, full.stages, subnet.kept, strict=True):
            if stage.width not in space.widths or kept != _closed(space, kept):
                return False
            if not all(
                block.head_dim in space.head_dims
                and block.heads in space.heads
                and block.hidden in space.hidden
                and block.mixer in space.mixers
                for block in stage.blocks
            ):
                return False
        return True

    def holds(self, arch: ArchSpec) -> bool:
        """Whether some subnet of this space is `arch`, which does not tell at which positions its blocks were."""
        if len(arch.stages) != len(self.stages):
            return False
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

    @cached_property
    def mixers_by_cost(self) -> tuple[tuple[str, ...], ...]:
        """The mixers of each stage, the dearest in MACs on its grid first: those that training opens first.

        Of those that are the same on that grid, as a window that covers it and `global`, there is one.
        """
        return tuple(
            tuple(sorted(_different(space.mixers, side), key=_mixer_macs(space, side, max), reverse=True))
            for space, side in ((space, self.side(number)) for number, space in enumerate(self.stages))
        )

    def side(self, stage: int) -> int:
        """Return the patch tokens a side in a stage (counted from 0)."""
        return grid_side(self.image_size, self.patch_size, stage)

    def _uniform(self, choose: Callable[..., Any], keep: bool) -> Subnet:
        """Return the subnet of which `choose`, `max` or `min`, takes every dimension, of mixers by their MACs."""
        stages = tuple(
            Stage(choose(s.widths), (self._block(number, choose),) * s.blocks) for number, s in enumerate(self.stages)
        )
        kept = tuple((keep,) * space.blocks for space in self.stages)
        return self._subnet(stages, kept, choose(self.stem_mid_widths))

    def _block(self, number: int, choose: Callable[..., Any]) -> Block:
        space = self.stages[number]
        mixer = choose(self.mixers_by_cost[number], key=_mixer_macs(space, self.side(number), choose))
        return Block(choose(space.heads), choose(space.head_dims), choose(space.hidden), mixer)

    @property
    def _chooses_stem(self) -> bool:
        return len(self.stem_mid_widths) > 1

    def build(self, start: Subnet, pick: Pick, keep: Keep) -> Subnet:
        """Make a subnet from another by asking for every dimension and every block's flag, always in the same order.

        Of the heads' size, the mixer and the stem's width it is asked only where there are several.
        """
        stages, kept = [], []
        for space, mixers, stage, flags in zip(
            self.stages, self.mixers_by_cost, start.full.stages, start.kept, strict=True
        ):
            blocks = tuple(
                Block(
                    pick(space.heads, block.heads),
                    pick(space.head_dims, block.head_dim) if len(space.head_dims) > 1 else space.head_dims[0],
                    pick(space.hidden, block.hidden),
                    pick(mixers, block.mixer) if len(mixers) > 1 else mixers[0],
                )
                for block in stage.blocks
            )
            stages.append(Stage(pick(space.widths, stage.width), blocks))
            kept.append(tuple(keep(flag) for flag in flags))
        now, choices = start.full.stem_mid_width, self.stem_mid_widths
        return self._subnet(tuple(stages), tuple(kept), pick(choices, now) if self._chooses_stem else choices[0])

    def _subnet(self, stages: tuple[Stage, ...], kept: tuple[tuple[bool, ...], ...], mid_width: int) -> Subnet:
        arch = ArchSpec(stages, self.classes, self.image_size, self.patch_size, mid_width)
        return Subnet(arch, tuple(_closed(space, flags) for space, flags in zip(self.stages, kept, strict=True)))


def _drawn(choices: tuple[T, ...], rng: np.random.Generator) -> T:
    """Draw as `rng.choice` does, from the same random numbers, without making an array of the choices."""
    return choices[int(rng.integers(len(choices)))]


def _mixer_macs(space: StageSpace, side: int, choose: Callable[..., Any]) -> Callable[[str], int]:
    """Return what counts a mixer's MACs in a block of the dimensions that `choose` takes."""
    width, inner = choose(space.widths), choose(space.heads) * choose(space.head_dims)
    return lambda name: mixer_named(name).at(side).macs(side, width, inner)


def _different(names: tuple[str, ...], side: int) -> list[str]:
    """Return one mixer of those that are the same on a grid: under its plain name, if it is there."""
    found: dict[Mixer, str] = {}
    for name in sorted(names, key=lambda name: str(mixer_named(name).at(side)) != name):
        found.setdefault(mixer_named(name).at(side), name)
    return [name for name in names if name in found.values()]


def _closed(space: StageSpace, kept: tuple[bool, ...]) -> tuple[bool, ...]:
    """Return the flags that the visiting order allows: fixed blocks stay, a drop drops droppable ones right after."""
    flags: list[bool] = []
    dropping = False
    for position, keep in enumerate(kept, start=1):
        dropping = position in space.droppable and (dropping or not keep)
        flags.append(not dropping)
    return tuple(flags)
