"""Less memory for the same weights: parts one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.checks import assert_close
from support.small_data import SPACE

from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.mixing import unmixed
from resnas_deploy.training.network import TrainedNetwork, drop_path
from resnas_deploy.training.passes import Passes
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.sampling import draw_groups

ALONE = Processes(Share(), torch.device("cpu"))
GROUP, GROUPS = 2, 4
TOLERANCE = 1e-12  # of gradients and weights in float64, relative to the largest: sums in another order


def passes_of(precision="fp32", masked=False, **settings):
    arch = SPACE.widest().full
    network = TrainedNetwork(arch, masked=masked)
    network.initialise(torch.Generator().manual_seed(0))
    network.double() if precision == "fp32" else network
    recipe = Recipe(1, GROUP * GROUPS, GROUP, 1e-3, warm_up_epochs=0, precision=precision, **settings)
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "fp16")
    return Passes(network, recipe, ALONE, scaler, supernet=True)


def batch_of(step, arch, dtype=torch.float64):
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(GROUP * GROUPS, 3, arch.image_size, arch.image_size, generator=generator, dtype=dtype)
    labels = torch.randint(arch.classes, (len(images),), generator=generator)
    return unmixed(images, labels, arch.classes, arch.side(2), 0.1)


def trained(steps=3, masked=False, **settings):
    """Weights and running statistics after some steps, the gradients of the last one, and the losses."""
    passes = passes_of(masked=masked, **settings)
    network = passes.network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for step in range(steps):
        subnets = draw_groups(SPACE, GROUPS, np.random.default_rng(step))
        positions = sum(len(stage.blocks) for stage in network.arch.stages)
        survival = drop_path(0.3, positions, GROUP * GROUPS, torch.Generator().manual_seed(step))
        network.zero_grad(set_to_none=True)
        losses.append(passes(batch_of(step, network.arch), subnets, survival))
        if step + 1 < steps:
            optimiser.step()
    return network.state_dict(), {name: p.grad for name, p in network.named_parameters()}, losses


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_one_after_the_other_are_the_batch_in_one_piece(masked, parts):
    whole, parted = trained(masked=masked), trained(masked=masked, accumulation=parts)
    for name, tensor in whole[0].items():
        assert_close(parted[0][name], tensor, 1e-10, name)
    for name, slope in whole[1].items():
        if slope is None:
            assert parted[1][name] is None
            continue
        scale = max(1e-3, float(slope.abs().max()))
        assert_close(parted[1][name] / scale, slope / scale, 1e-9, name)
    assert_close(torch.stack(parted[2]), torch.stack(whole[2]), 1e-6, "losses")
