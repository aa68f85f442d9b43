"""The values that a space chooses from, and those beside and between them that a device may like better."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.errors import BadInput

STEM = "stem_mid_widths"
HEADS = "heads"
DIMENSIONS = ("widths", HEADS, "head_dims", "hidden")
MULTIPLES = (32, 16, 8)  # that runtimes' kernels, vector registers and tensor cores are made for; the best one first
MOST = 24  # values of a dimension: all of them are open at once


@dataclass(frozen=True)
class Dimension:
    """One list of a space, and what else might stand in it; each is sorted from the widest to the narrowest."""

    stage: int | None  # counted from 0; None: the stem
    name: str  # of the field
    choices: tuple[int, ...]
    others: tuple[int, ...] = ()

    @property
    def values(self) -> tuple[int, ...]:
        """All of them."""
        return tuple(sorted((*self.choices, *self.others), reverse=True))

    @property
    def where(self) -> str:
        """What people call it: `stage 1 widths`."""
        return self.name if self.stage is None else f"stage {self.stage + 1} {self.name}"


def dimensions(space: SearchSpace) -> tuple[Dimension, ...]:
    """Return every list of a space, in the order of its file. Raise `BadInput` for one of too many choices to measure.

    Beside each size stand the next multiples of 8, 16 and 32, beside the heads the numbers between them. A width stays
    within the narrowest of the stage after, as the space must have it.
    """
    return tuple(_bounded(each) for each in _all(space))


def _all(space: SearchSpace) -> Iterator[Dimension]:
    if space.stem_mid_widths != (0,):
        yield _sizes(None, STEM, space.stem_mid_widths)
    for number, stage in enumerate(space.stages):
        following = space.stages[number + 1 : number + 2]
        for name in DIMENSIONS:
            choices: tuple[int, ...] = getattr(stage, name)
            if name == HEADS:
                between = set(range(min(choices), max(choices))) - set(choices)
                yield Dimension(number, name, _sorted(choices), _sorted(between))
            else:
                yield _sizes(number, name, choices, _cap(following) if name == "widths" else None)


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
    room = MOST - len(dimension.choices)
    return Dimension(dimension.stage, dimension.name, dimension.choices, dimension.others[:room])


def _sorted(values: tuple[int, ...] | set[int] | list[int]) -> tuple[int, ...]:
    return tuple(sorted(values, reverse=True))
