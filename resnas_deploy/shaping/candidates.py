"""The values that a space chooses from, and those beside and between them that a device may like better."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from resnas_deploy.arch.mixer import GLOBAL, POOLED, mixer_named
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.errors import BadInput

Value = int | str  # a size, or a mixer's name

STEM = "stem_mid_widths"
HEADS, MIXERS = "heads", "mixers"
SIZES = ("widths", HEADS, "head_dims", "hidden")
MULTIPLES = (32, 16, 8)  # that runtimes' kernels, vector registers and tensor cores are made for; the best one first
MOST = 24  # values of a dimension: all of them are open at once


@dataclass(frozen=True)
class Dimension:
    """One list of a space, and what else might stand in it; each is sorted from the widest to the narrowest.

    A mixer is wider where tokens see more: `global` before windows, larger ones first, before pools, finer ones first.
    """

    stage: int | None  # counted from 0; None: the stem
    name: str  # of the field
    choices: tuple[Value, ...]
    others: tuple[Value, ...] = ()
    side: int = 0  # of mixers: patch tokens a side

    @property
    def values(self) -> tuple[Value, ...]:
        """All of them."""
        return _sorted((*self.choices, *self.others))

    def may_replace(self, wider: Value, narrower: Value) -> bool:
        """Whether nothing is lost by having the first of two instead of the second: of windows and pools neither is."""
        if self.name != MIXERS:
            return True
        ours, theirs = (mixer_named(str(each)).at(self.side) for each in (wider, narrower))
        return ours.kind in (GLOBAL, theirs.kind)

    def up_to(self, value: Value) -> tuple[Value, ...]:
        """Return the other values that are narrower than one."""
        values = self.values
        return tuple(each for each in self.others if values.index(each) > values.index(value))

    @property
    def where(self) -> str:
        """What people call it: `stage 1 widths`."""
        return self.name if self.stage is None else f"stage {self.stage + 1} {self.name}"


def dimensions(space: SearchSpace) -> tuple[Dimension, ...]:
    """Return every list of a space, in the order of its file. Raise `BadInput` for one of too many choices to measure.

    Beside each size stand the next multiples of 8, 16 and 32, beside the heads the numbers between them, and beside
    mixers `global`. A width stays within the narrowest of the stage after, as the space must have it.
    """
    return tuple(_bounded(each) for each in _all(space))


def _all(space: SearchSpace) -> Iterator[Dimension]:
    if space.stem_mid_widths != (0,):
        yield _sizes(None, STEM, space.stem_mid_widths)
    for number, stage in enumerate(space.stages):
        following = space.stages[number + 1 : number + 2]
        for name in SIZES:
            choices: tuple[int, ...] = getattr(stage, name)
            if name == HEADS:
                between = set(range(min(choices), max(choices))) - set(choices)
                yield Dimension(number, name, _sorted(choices), _sorted(between))
            else:
                yield _sizes(number, name, choices, _cap(following) if name == "widths" else None)
        if stage.mixers != (GLOBAL,):
            others = () if GLOBAL in stage.mixers else (GLOBAL,)
            yield Dimension(number, MIXERS, _sorted(stage.mixers), others, space.side(number))


def _cap(following: tuple[StageSpace, ...]) -> int | None:
    return min(following[0].widths) if following else None


def _sizes(stage: int | None, name: str, choices: tuple[int, ...], cap: int | None = None) -> Dimension:
    """Return the list of sizes with the multiples beside them, the coarsest first where there are too many."""
    found: dict[int, None] = {}
    for multiple in MULTIPLES:
        for choice in choices:
            beside = -(-choice // multiple) * multiple
            if beside not in choices and (cap is None or beside <= cap):
                found[beside] = None
    return Dimension(stage, name, _sorted(choices), _sorted(list(found)[: max(0, MOST - len(choices))]))


def _bounded(dimension: Dimension) -> Dimension:
    if len(dimension.choices) > MOST:
        raise BadInput(
            f"{dimension.where} must have at most {MOST} choices, which are measured side by side, "
            f"found {len(dimension.choices)}; leave some out"
        )
    return replace(dimension, others=dimension.others[: MOST - len(dimension.choices)])


def _sorted(values: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(sorted(values, key=_rank))


def _rank(value: Value) -> tuple[int, int]:
    """Return what sorts values from the widest to the narrowest."""
    if isinstance(value, int):
        return 0, -value
    mixer = mixer_named(value)
    pooled = mixer.kind == POOLED
    return 1 + pooled if mixer.size else 0, mixer.size if pooled else -mixer.size
