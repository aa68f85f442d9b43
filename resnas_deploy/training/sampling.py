"""All that is random about a step: subnets, mixing and dropped blocks.

It follows from the seed, the step and the group: not from how the groups are shared out among processes, and not from
where a run was cut off.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import STAGES, Subnet
from resnas_deploy.training.distributed import Share
from resnas_deploy.training.erasing import draw_boxes, erased
from resnas_deploy.training.mixing import Mixed, draw_mixing, mix, unmixed
from resnas_deploy.training.network import drop_path
from resnas_deploy.training.run import TrainingRun

T = TypeVar("T", int, bool)

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
    return draw_groups(run.space, run.recipe.groups, rng, opened)[groups.start : groups.stop]


def survival_of(run: TrainingRun, step: int, groups: range) -> Tensor | None:
    """Return what drop-path multiplies with, `(2 x positions, images of these groups)`; None without drop-path."""
    rate, size = run.recipe.drop_path, run.recipe.group
    if not rate:
        return None
    positions = sum(len(stage.blocks) for stage in run.arch.stages)
    drawn = [drop_path(rate, positions, size, _generator(_DROP_PATH, run.seed, step, group)) for group in groups]
    return torch.cat(drawn, dim=1)


def mixed_of(run: TrainingRun, step: int, groups: range, images: Tensor, labels: Tensor) -> Mixed:
    """Return the groups' images, `(B, 3, S, S)`, erased and mixed, with their soft labels.

    What is drawn is drawn for all groups of the step at once, and then the share of these is taken. The host does not
    wait for the device.
    """
    recipe, classes, side = run.recipe, run.arch.classes, run.arch.side(STAGES - 1)
    rng = np.random.default_rng((_MIXING, run.seed, step))
    own = slice(groups.start * recipe.group, groups.stop * recipe.group)
    if recipe.erasing:
        boxes = draw_boxes(recipe.batch, images.shape[-1], recipe.erasing, rng)
        seeds = rng.integers(2**63, size=recipe.groups)  # of the noise, which is drawn on the device
        images = erased(images, boxes[own], seeds[groups.start : groups.stop].tolist())
    if not recipe.mixing:
        return unmixed(images, labels, classes, side, recipe.label_smoothing)
    mixing = draw_mixing(recipe.groups, recipe.group, side, rng)
    return mix(images, labels, mixing.part(own), classes, recipe.label_smoothing)


def draw_groups(space: SearchSpace, groups: int, rng: np.random.Generator, opened: float = 1.0) -> tuple[Subnet, ...]:
    """Draw a subnet for each group of a batch (multi-architectural sampling, arXiv 2109.00642, section 3.3).

    Of every dimension, the groups together take each choice that is open equally often, give or take one, in an order
    drawn anew for each layer, and so with whether a droppable block is kept. `opened` is how far the choices are open:
    0 is the widest alone, 1 all of them.
    """
    columns: list[list[int]] = []  # what the groups take, by the number of the question

    def column(question: int, choices: Sequence[int]) -> list[int]:
        if question == len(columns):
            columns.append(evenly(choices, groups, rng))
        return columns[question]

    def subnet(group: int) -> Subnet:
        questions = itertools.count()  # the space asks them in the same order for every group
        return space.build(
            space.widest(),
            lambda choices, _: column(next(questions), open_choices(choices, opened))[group],
            lambda _: bool(column(next(questions), open_flags(opened))[group]),
        )

    return tuple(subnet(group) for group in range(groups))


def open_choices(choices: Sequence[int], opened: float) -> list[int]:
    """Return the choices that are open, the widest first: of n, the last opens when `opened` is 1."""
    # A share of epochs such as 10 / 30 may lie a rounding below what it stands for.
    return sorted(choices, reverse=True)[: 1 + int(opened * (len(choices) - 1) + 1e-9)]


def open_flags(opened: float) -> tuple[bool, ...]:
    """Return the choices that stand for keeping a droppable block: none is dropped, then 1 of 3, in the end 1 of 2."""
    return (True,) if opened < _DROPS_FROM - 1e-9 else (True, True, False) if opened < 1 else (True, False)


def evenly(choices: Sequence[T], count: int, rng: np.random.Generator) -> list[T]:
    """Return `count` of the choices in random order, each of them equally often, give or take one."""
    found: list[T] = rng.permutation(np.resize(rng.permutation(choices), count)).tolist()
    return found


def _generator(*numbers: int) -> torch.Generator:
    """Return a generator that those numbers alone decide."""
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed) % 2**63)
