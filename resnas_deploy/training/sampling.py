"""All that is random about a step: subnets, mixing and dropped blocks.

It follows from the seed, the step and the group: not from how the groups are shared out among processes, and not from
where a run was cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.training.distributed import Share
from resnas_deploy.training.erasing import draw_boxes, erased
from resnas_deploy.training.mixing import Mixed, draw_mixing, mix, unmixed
from resnas_deploy.training.network import drop_path
from resnas_deploy.training.run import TrainingRun

T = TypeVar("T")

_SUBNETS, _MIXING, _DROP_PATH, _WEIGHTS = range(4)  # what a generator is for
_DROPS_FROM = 2 / 3  # of the opening: from then on blocks are dropped


def own_groups(run: TrainingRun, share: Share) -> range:
    """Return the numbers of a process's groups among those of a step."""
    count = run.recipe.groups // share.processes
    return range(share.rank * count, (share.rank + 1) * count)


def weights_generator(run: TrainingRun) -> torch.Generator:
    """Return the generator of the first weights."""
    return _generator(_WEIGHTS, run.seed)


def subnets_of(run: TrainingRun, step: int, opened: float, groups: range) -> tuple[Subnet, ...]:
    """Return the subnet of each of these groups."""
    if run.space is None:
        return (Subnet.whole(run.arch),) * len(groups)
    rng = np.random.default_rng((_SUBNETS, run.seed, step))
    if run.recipe.sampling == "single":
        return draw_groups(run.space, 1, rng, opened) * len(groups)
    return draw_groups(run.space, run.recipe.groups, rng, opened, groups)


def survival_of(run: TrainingRun, step: int, groups: range) -> Tensor | None:
    """Return what drop-path multiplies with, `(2 x positions, images of these groups)`; None without drop-path."""
    rate, size = run.recipe.drop_path, run.recipe.group
    if not rate:
        return None
    positions = sum(len(stage.blocks) for stage in run.arch.stages)
    drawn = torch.rand(2 * positions, run.recipe.batch, generator=_generator(_DROP_PATH, run.seed, step))
    return drop_path(rate, drawn[:, groups.start * size : groups.stop * size])


def mixed_of(run: TrainingRun, step: int, groups: range, images: Tensor, labels: Tensor) -> Mixed:
    """Return the groups' images, `(B, 3, S, S)`, erased and mixed, with their soft labels.

    What is drawn is drawn for all groups of the step at once, and then the share of these is taken. The host does not
    wait for the device.
    """
    recipe, classes, side = run.recipe, run.arch.classes, run.arch.last_side
    rng = np.random.default_rng((_MIXING, run.seed, step))
    own = slice(groups.start * recipe.group, groups.stop * recipe.group)
    if recipe.erasing:
        boxes = draw_boxes(recipe.batch, images.shape[-1], recipe.erasing, rng)
        seeds = rng.integers(2**63, size=recipe.groups)  # of the noise, which is drawn on the device
        images = erased(images, boxes[own], seeds[groups.start : groups.stop].tolist())
    if not recipe.mixing:
        return unmixed(images, labels, classes, side, recipe.label_smoothing)
    mixing = draw_mixing(recipe.groups, recipe.group, side, rng)
    return mix(images, labels, mixing.part(own), run.arch.last_cell, classes, recipe.label_smoothing)


def draw_groups(
    space: SearchSpace, groups: int, rng: np.random.Generator, opened: float = 1.0, own: range | None = None
) -> tuple[Subnet, ...]:
    """Draw a subnet for each group of a batch (multi-architectural sampling, arXiv 2109.00642, section 3.3).

    Of every dimension, the groups together take each choice that is open equally often, give or take one, in an order
    drawn anew for each layer, and so with whether a droppable block is kept. `opened` is how far the choices are open:
    0 is the widest alone, 1 all of them. Of all that were drawn, those of the groups `own` are returned.
    """
    start, asked = _questions(space, opened)
    counts = np.array([len(choices) for choices in asked])
    # A random order of each question's choices, in which they are dealt out in turn: where the groups are no multiple
    # of the choices, chance decides which of them is taken once more.
    most = int(counts.max())
    dealt = np.where(np.arange(most) < counts[:, None], rng.random((len(counts), most)), np.inf).argsort(axis=1)
    turns = np.take_along_axis(dealt, np.arange(groups) % counts[:, None], axis=1)
    answers = rng.permuted(turns, axis=1)

    def subnet(column: list[int]) -> Subnet:
        following = (choices[answer] for choices, answer in zip(asked, column, strict=True))
        return space.build(start, lambda *_: next(following), lambda _: bool(next(following)))

    return tuple(subnet(column) for column in answers.T[slice(own.start, own.stop) if own else slice(None)].tolist())


@lru_cache(maxsize=4)
def _questions(space: SearchSpace, opened: float) -> tuple[Subnet, tuple[Sequence[Any], ...]]:
    """Return the widest subnet, and what is open at each question that the space asks."""
    asked: list[Sequence[Any]] = []

    def pick(choices: tuple[T, ...], now: T) -> T:
        asked.append(open_choices(choices, opened))
        return now

    def keep(now: bool) -> bool:
        asked.append(open_flags(opened))
        return now

    widest = space.widest()
    space.build(widest, pick, keep)
    return widest, tuple(asked)


def open_choices(choices: Sequence[T], opened: float) -> list[T]:
    """Return the choices that are open, the widest first: of n, the last opens when `opened` is 1.

    Mixers, which a space gives by their cost, stay in that order.
    """
    ordered = sorted(choices, key=lambda choice: -choice if isinstance(choice, int) else 0)
    # A share of epochs such as 10 / 30 may lie a rounding below what it stands for.
    return ordered[: 1 + int(opened * (len(choices) - 1) + 1e-9)]


def open_flags(opened: float) -> tuple[bool, ...]:
    """Return the choices that stand for keeping a droppable block: none is dropped, then 1 of 3, in the end 1 of 2."""
    return (True,) if opened < _DROPS_FROM - 1e-9 else (True, True, False) if opened < 1 else (True, False)


def _generator(*numbers: int) -> torch.Generator:
    """Return a generator that those numbers alone decide."""
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed) % 2**63)
