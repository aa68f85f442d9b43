"""Sliced and masked passes compute the sliced subnet: logits and gradients, in training and evaluation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checks import assert_close
from support.networks import SMALL, subnets_inside, supernet_mini

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.network.module import build_model
from resnas_deploy.training.network import TrainedNetwork, drop_path
from resnas_deploy.weights.checkpoint import Provenance, Task, untrained
from resnas_deploy.weights.schema import tensor_shapes
from resnas_deploy.weights.slicing import block_positions, slice_subnet

TOLERANCE = 1e-9  # of logits and gradients of about 1, in float64: norms of one channel multiply errors by 1000
GROUP = 2

pairs = st.lists(subnets_inside(SMALL), min_size=1, max_size=3)


def network(masked=False, arch=SMALL):
    made = TrainedNetwork(arch, masked=masked)
    made.load(untrained(arch))
    return made.double()


def images(count, arch=SMALL):
    return torch.randn(count, 3, arch.image_size, arch.image_size, generator=torch.Generator().manual_seed(0)).double()


def gradients(made, subnets, survival):
    """Logits, and the gradient of a loss that depends on each of them in its own way."""
    logits = made(images(GROUP * len(subnets)), subnets, survival)
    torch.manual_seed(1)
    loss = (logits.image * torch.randn_like(logits.image)).sum()
    loss = loss + (logits.patches * torch.randn_like(logits.patches)).mean()
    made.zero_grad()
    loss.backward()
    return logits, {name: parameter.grad for name, parameter in made.named_parameters()}


def zeros_for_none(found, made):
    return {
        name: torch.zeros_like(parameter) if found[name] is None else found[name]
        for name, parameter in made.named_parameters()
    }


@settings(max_examples=40)
@given(pairs, st.booleans(), st.booleans())
def test_masked_and_sliced_passes_agree(subnets, training, dropping):
    positions = sum(len(stage.blocks) for stage in SMALL.stages)
    survival = None
    if dropping:
        survival = drop_path(
            0.5, torch.rand(2 * positions, GROUP * len(subnets), generator=torch.Generator().manual_seed(2))
        )
    found = []
    for masked in (False, True):
        made = network(masked).train(training)
        logits, slopes = gradients(made, subnets, survival)
        found.append((logits, zeros_for_none(slopes, made)))
    (sliced, sliced_slopes), (masked_, masked_slopes) = found
    assert_close(sliced.image.detach(), masked_.image.detach(), TOLERANCE, "logits")
    assert_close(sliced.patches.detach(), masked_.patches.detach(), TOLERANCE, "patch logits")
    for name, slope in sliced_slopes.items():
        scale = max(1.0, float(slope.abs().max()))
        assert_close(slope / scale, masked_slopes[name] / scale, TOLERANCE, name)


@settings(max_examples=25)
@given(subnets_inside(SMALL), st.booleans())
def test_a_pass_is_the_sliced_network(subnet, training):
    whole = network().train(training)
    task = Task(("a", "b", "c"), Preprocessing(32, 32))
    alone = TrainedNetwork(subnet.arch).train(training)
    alone.load(slice_subnet(whole.checkpoint(Provenance(True, ()), task), subnet))
    alone.double()
    logits, slopes = gradients(whole, [subnet], None)
    expected, own = gradients(alone, [Subnet.whole(subnet.arch)], None)
    assert_close(logits.image.detach(), expected.image.detach(), TOLERANCE, "logits")
    assert_close(logits.patches.detach(), expected.patches.detach(), TOLERANCE, "patch logits")
    positions = block_positions(subnet)
    for name in tensor_shapes(subnet.arch):
        slope = own.get(f"body.{name}")
        if slope is None or "qkv" in name or "attention.projection.weight" in name:
            # A buffer; or what is sliced by head, which masked passes check.
            continue
        stage, dot, rest = name.partition(".block")
        number, _, tensor = rest.partition(".")
        there = f"{stage}.block{positions[f'{stage}.block{number}']}.{tensor}" if dot else name
        kept = slopes[f"body.{there}"][tuple(slice(size) for size in slope.shape)]
        scale = max(1.0, float(slope.abs().max()))
        assert_close(kept / scale, slope / scale, TOLERANCE, name)


@pytest.mark.parametrize("masked", [False, True])
def test_the_batch_is_shared_out_in_order(masked):
    made = network(masked).eval()
    wide = Subnet.whole(SMALL)
    narrow = replace(wide, kept=((True, False), (True,), (False, True)))
    several = made(images(4), (wide, narrow, wide, wide)).image.detach()
    for index, subnet in enumerate((wide, narrow, wide, wide)):
        alone = made(images(4)[index : index + 1], (subnet,)).image.detach()
        assert_close(several[index], alone[0], TOLERANCE, f"image {index}")


def test_the_golden_supernet_gives_the_same_logits_as_its_slices():
    checkpoint = supernet_mini()
    made = TrainedNetwork(checkpoint.arch)
    made.load(checkpoint)
    made.double().eval()
    batch = images(2, checkpoint.arch)
    whole = Subnet.whole(checkpoint.arch)
    expected = build_model(checkpoint).double()(batch)
    assert_close(made(batch, (whole,)).image.detach(), expected.detach(), TOLERANCE, "logits")


def test_drop_path_keeps_the_mean_and_grows_with_depth():
    scales = drop_path(0.4, torch.rand(20, 20_000, generator=torch.Generator().manual_seed(0)))
    assert scales.shape == (20, 20_000)
    assert_close(scales.mean(1), np.ones(20), 0.03, "mean")
    dropped = (scales == 0).float().mean(1)
    assert_close(dropped, np.linspace(0, 0.4, 10).repeat(2), 0.02, "dropped")


def test_loading_and_saving_are_inverse():
    checkpoint = supernet_mini()
    made = TrainedNetwork(checkpoint.arch)
    made.load(checkpoint)
    task = Task(
        tuple(map(str, range(checkpoint.arch.classes))), Preprocessing.for_image_size(checkpoint.arch.image_size)
    )
    again = made.checkpoint(checkpoint.provenance, task)
    for name, tensor in checkpoint.tensors.items():
        assert np.array_equal(again.tensors[name], tensor), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of PyTorch's compiler
def test_compiled_passes_compute_the_same():
    subnets = (Subnet.whole(SMALL),)
    made = network(masked=True).eval()
    before = made(images(2), subnets)
    made.compile_passes()
    assert_close(made(images(2), subnets).image.detach(), before.image.detach(), TOLERANCE, "logits")
