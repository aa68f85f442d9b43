"""Sorting units by importance changes nothing that the whole network computes."""

from __future__ import annotations

import torch
from support.checks import assert_close
from support.networks import SMALL

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.resort import resort
from resnas_deploy.weights.checkpoint import untrained


def test_units_are_sorted_and_the_network_computes_the_same():
    network = TrainedNetwork(SMALL).eval()
    network.load(untrained(SMALL))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = network(images, (Subnet.whole(SMALL),)).image.detach()
    shadow = {parameter: parameter.detach() * 2 for parameter in network.parameters()}
    weights = network.body.get_submodule("stage1.block1").mlp.fc1.weight.clone()
    resort(network.body, lambda parameter: [shadow[parameter]])
    assert_close(network(images, (Subnet.whole(SMALL),)).image.detach(), before, 1e-5, "logits")
    for block in network.body.get_submodule("stage1"):
        fc1, fc2 = block.mlp.fc1.weight, block.mlp.fc2.weight
        importance = fc1.abs().sum(1) + fc2.abs().sum(0)
        assert (importance.diff() <= 1e-6).all()
        heads, dim = block.attention.heads, block.attention.head_dim
        written = block.attention.qkv.weight.abs().unflatten(0, (3, heads, dim)).sum((0, 2, 3))
        read = block.attention.projection.weight.abs().unflatten(1, (heads, dim)).sum((0, 2))
        assert ((written + read).diff() <= 1e-6).all()
    assert not torch.equal(network.body.get_submodule("stage1.block1").mlp.fc1.weight, weights)
    for parameter, companion in shadow.items():
        assert torch.equal(companion, parameter.detach() * 2)
