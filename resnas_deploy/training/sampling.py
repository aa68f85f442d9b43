"""Multi-architectural sampling: which subnet each group of a batch trains (arXiv 2109.00642, section 3.3)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Subnet

T = TypeVar("T", int, bool)


def draw_groups(space: SearchSpace, groups: int, rng: np.random.Generator, opened: float = 1.0) -> tuple[Subnet, ...]:
    """A subnet for each group of a batch.

    Of every dimension, the groups together take each choice that is open equally often, give or take one, in an order
    drawn anew for each layer. `opened` is how far the choices are open: 0 is the widest alone, 1 all of them.
    """
    columns: list[list[int]] = []  # what the groups take, by the number of the question

    def column(question: int, choices: Sequence[int]) -> list[int]:
        if question == len(columns):
            columns.append(evenly(open_choices(choices, opened), groups, rng))
        return columns[question]

    def subnet(group: int) -> Subnet:
        questions = itertools.count()  # the space asks them in the same order for every group
        return space.build(
            space.widest(),
            lambda choices, _: column(next(questions), choices)[group],
            lambda _: bool(column(next(questions), (True, False))[group]),
        )

    return tuple(subnet(group) for group in range(groups))


def open_choices(choices: Sequence[int], opened: float) -> list[int]:
    """The choices that are open, the widest first; each of n opens when `opened` has gone another n-th of its way."""
    return sorted(choices, reverse=True)[: 1 + int(opened * len(choices))]


def evenly(choices: Sequence[T], count: int, rng: np.random.Generator) -> list[T]:
    """`count` of the choices in random order, each of them equally often, give or take one."""
    found: list[T] = rng.permutation(np.resize(rng.permutation(choices), count)).tolist()
    return found
