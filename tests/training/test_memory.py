"""Less memory for the same weights: parts one after the other, and activations computed again."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from support.checks import assert_close
from support.small_data import SPACE

from resnas_deploy.errors import BadInput
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.mixing import unmixed
from resnas_deploy.training.network import TrainedNetwork, drop_path
from resnas_deploy.training.passes import Passes, check_parts
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.sampling import draw_groups

ALONE = Processes(Share(), torch.device("cpu"))
GROUP, GROUPS = 2, 4
TOLERANCE = 1e-10  # of gradients and weights in float64, relative to the largest: sums in another order
LOSS_TOLERANCE = 1e-6  # losses are float32


def passes_of(recipe, masked=False):
    network = TrainedNetwork(SPACE.widest().full, masked=masked, checkpointing=recipe.activation_checkpointing)
    network.initialise(torch.Generator().manual_seed(0))
    scaler = torch.amp.GradScaler("cpu", enabled=recipe.precision == "fp16")
    return Passes(network.train(), recipe, ALONE, scaler, supernet=True)


def recipe_of(**settings):
    return Recipe(1, GROUP * GROUPS, GROUP, 1e-3, warm_up_epochs=0, **settings)


def batch_of(step, arch, dtype):
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(GROUP * GROUPS, 3, arch.image_size, arch.image_size, generator=generator)
    labels = torch.randint(arch.classes, (len(images),), generator=generator)
    return unmixed(images.to(dtype), labels, arch.classes, arch.side(2), 0.1)


def trained(recipe, masked=False, dtype=torch.float32, steps=3):
    """The state after some steps, the gradients of the last one, and the losses."""
    passes = passes_of(recipe, masked)
    network = passes.network.to(dtype)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for step in range(steps):
        subnets = draw_groups(SPACE, GROUPS, np.random.default_rng(step))
        positions = sum(len(stage.blocks) for stage in network.arch.stages)
        drawn = torch.rand(2 * positions, GROUP * GROUPS, generator=torch.Generator().manual_seed(step))
        survival = drop_path(0.3, drawn)
        network.zero_grad(set_to_none=True)
        losses.append(passes(batch_of(step, network.arch, dtype), subnets, survival))
        passes.scaler.step(optimiser)
        passes.scaler.update()
    slopes = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return network.state_dict(), slopes, torch.stack(losses)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("parts", [2, 4])
def test_parts_one_after_the_other_are_the_batch_in_one_piece(masked, parts):
    """Weights, batch statistics and what is counted of them too: the stem sees all images at once."""
    whole, parted = (trained(recipe_of(accumulation=count), masked, torch.float64) for count in (1, parts))
    for name, tensor in whole[0].items():
        assert_close(parted[0][name], tensor, TOLERANCE, name)
    assert whole[1].keys() == parted[1].keys()
    for name, slope in whole[1].items():
        scale = float(slope.abs().max())
        assert_close(parted[1][name] / scale, slope / scale, TOLERANCE, name)
    assert_close(parted[2], whole[2], LOSS_TOLERANCE, "losses")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_activations_computed_again_are_the_same_to_the_bit(precision, parts, masked):
    kept, again = (
        trained(recipe_of(precision=precision, accumulation=parts, activation_checkpointing=checkpointing), masked)
        for checkpointing in (False, True)
    )
    for first, second in zip(kept[:2], again[:2], strict=True):
        assert first.keys() == second.keys()
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name
    assert torch.equal(kept[2], again[2])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of PyTorch's compiler
def test_compiled_passes_recompute_too(monkeypatch):
    """As the compiler traces them; without the machine code, which is not what is at stake."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    found = []
    for compiled, checkpointing in ((False, False), (True, True)):
        passes = passes_of(recipe_of(activation_checkpointing=checkpointing), masked=True)
        if compiled:
            passes.network.compile_passes()
        subnets = draw_groups(SPACE, GROUPS, np.random.default_rng(0))
        passes(batch_of(0, passes.network.arch, torch.float32), subnets, None)
        found.append({name: parameter.grad for name, parameter in passes.network.named_parameters()})
    for name, slope in found[0].items():
        assert_close(found[1][name], slope, 1e-6, name)


def test_activations_are_let_go():
    """Between the passes the whole network keeps less than half of what it does without."""

    def kept(checkpointing):
        network = TrainedNetwork(SPACE.widest().full, checkpointing=checkpointing)
        alive = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: alive.append(x) or x, lambda x: x):
            network(torch.zeros(1, 3, 16, 16), (SPACE.widest(),))
        return sum(x.numel() for x in alive)

    assert kept(True) < 0.5 * kept(False)


@pytest.mark.parametrize(
    ("processes", "parts", "words"),
    [(3, 1, "must be a multiple of the processes, found 3"), (2, 4, "8 / 2 / 2 = 2, found 4; change accumulation")],
)
def test_groups_are_not_cut(processes, parts, words):
    with pytest.raises(BadInput, match=words):
        check_parts(recipe_of(accumulation=parts), processes)
