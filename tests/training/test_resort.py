"""Sorting units by importance changes nothing that the whole network computes."""

from __future__ import annotations

import pytest
import torch
from support.checks import assert_close
from support.small_data import SPACE
from support.small_spaces import ANY_STAGES

from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.resort import resort
from resnas_deploy.weights.checkpoint import untrained


def sorted_down(importance):
    return bool((importance.diff(dim=-1) <= 1e-6).all())


@pytest.mark.parametrize("space", [SPACE, *ANY_STAGES], ids=lambda space: space.name)
def test_units_are_sorted_and_the_network_computes_the_same(space):
    whole = space.widest()
    network = TrainedNetwork(whole.full).eval()
    network.load(untrained(whole.full))
    images = torch.randn(2, 3, space.image_size, space.image_size, generator=torch.Generator().manual_seed(0))
    before = network(images, (whole,)).image.detach()
    shadow = {parameter: parameter.detach() * 2 for parameter in network.parameters()}
    weights = {name: parameter.clone() for name, parameter in network.named_parameters()}
    resort(network.body, lambda parameter: [shadow[parameter]], space)
    assert_close(network(images, (whole,)).image.detach(), before, 1e-5, "logits")
    for number, stage in enumerate(space.stages, start=1):
        for block in network.body.get_submodule(f"stage{number}"):
            assert sorted_down(block.mlp.fc1.weight.abs().sum(1) + block.mlp.fc2.weight.abs().sum(0))
            heads, dim = block.attention.heads, block.attention.head_dim
            q, k, v = written = block.attention.qkv.weight.abs().unflatten(0, (3, heads, dim)).sum(3)
            read = block.attention.projection.weight.abs().unflatten(1, (heads, dim)).sum(0)
            assert sorted_down(written.sum((0, 2)) + read.sum(1))
            # Only where a subnet may have shorter heads are their own channels sorted.
            assert (sorted_down(q + k), sorted_down(v + read)) == (len(stage.head_dims) > 1,) * 2
    changed = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, weights[name])}
    sorted_names = ("qkv.weight", "qkv.bias", "attention.projection.weight", "fc1.weight", "fc1.bias", "fc2.weight")
    assert changed
    assert all(name.endswith(sorted_names) for name in changed)
    for parameter, companion in shadow.items():
        assert torch.equal(companion, parameter.detach() * 2)
