"""All that is random about a step.

It follows from the seed, the step and the group: not from how the groups are shared out among processes, and not from
where a run was cut off.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from resnas_deploy.arch.spec import STAGES, Subnet
from resnas_deploy.training.data.loader import Share
from resnas_deploy.training.mixing import Mixed, mix, unmixed
from resnas_deploy.training.network import drop_path
from resnas_deploy.training.sampling import draw_groups
from resnas_deploy.training.settings import Run

_SUBNETS, _MIXING, _DROP_PATH, _WEIGHTS = range(4)  # what a generator is for


def own_groups(run: Run, share: Share) -> range:
    """The numbers of a process's groups among those of a step."""
    count = run.recipe.groups // share.processes
    return range(share.rank * count, (share.rank + 1) * count)


def weights_generator(run: Run) -> torch.Generator:
    """Of the first weights."""
    return _generator(_WEIGHTS, run.seed)


def subnets_of(run: Run, step: int, opened: float, groups: range) -> tuple[Subnet, ...]:
    """The subnet of each of these groups."""
    if run.space is None:
        return (Subnet.whole(run.arch),) * len(groups)
    rng = np.random.default_rng((_SUBNETS, run.seed, step))
    if run.recipe.sampling == "single":
        return draw_groups(run.space, 1, rng, opened) * len(groups)
    return draw_groups(run.space, run.recipe.groups, rng, opened)[groups.start : groups.stop]


def survival_of(run: Run, step: int, groups: range) -> Tensor | None:
    """What drop-path multiplies with, `(2 x positions, images of these groups)`; None without drop-path."""
    rate, size = run.recipe.drop_path, run.recipe.group
    if not rate:
        return None
    positions = sum(len(stage.blocks) for stage in run.arch.stages)
    drawn = [drop_path(rate, positions, size, _generator(_DROP_PATH, run.seed, step, group)) for group in groups]
    return torch.cat(drawn, dim=1)


def mixed_of(run: Run, step: int, groups: range, images: Tensor, labels: Tensor) -> Mixed:
    """The groups' images, `(B, 3, S, S)`, erased and mixed, with their soft labels."""
    recipe, classes, side = run.recipe, run.arch.classes, run.arch.side(STAGES - 1)
    parts = []
    for index, group in enumerate(groups):
        own = slice(index * recipe.group, (index + 1) * recipe.group)
        rng = np.random.default_rng((_MIXING, run.seed, step, group))
        given = _erased(images[own], recipe.erasing, rng)
        if recipe.mixing:
            parts.append(mix(given, labels[own], classes, side, recipe.label_smoothing, rng))
        else:
            parts.append(unmixed(given, labels[own], classes, side, recipe.label_smoothing))
    return Mixed(
        torch.cat([part.images for part in parts]),
        torch.cat([part.target for part in parts]),
        torch.cat([part.patch_targets for part in parts]),
    )


def _erased(images: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Images of which a random rectangle is noise, in that share of them (arXiv 1708.04896), by kornia."""
    if not share:
        return images
    from kornia.augmentation import RandomErasing

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        changed: Tensor = RandomErasing(p=share)(images)
    return changed


def _generator(*numbers: int) -> torch.Generator:
    """A generator that those numbers alone decide."""
    seed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed) % 2**63)
