"""The weights that training starts from, and which of them decay."""

from __future__ import annotations

import pytest
import torch
from support.mini_space import MINI
from torch import nn

from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.optimiser import optimiser_of
from resnas_deploy.training.recipe import Recipe

RECIPE = Recipe(epochs=5, batch=8, group=4, learning_rate=0.1, weight_decay=0.05)


@pytest.fixture
def network():
    network = TrainedNetwork(MINI.widest().full)
    network.initialise(torch.Generator().manual_seed(0))
    return network


def test_linears_tokens_and_positions_are_normal_with_a_deviation_of_002(network):
    seen = 0
    for name, tensor in network.named_parameters():
        parameter = tensor.detach()
        layer, _, kind = name.rpartition(".")
        linear = isinstance(network.get_submodule(layer), nn.Linear)
        if linear and kind == "bias":
            assert not parameter.any()
        elif linear or kind in ("class_token", "position"):
            values, seen = parameter.flatten(), seen + 1
            assert values.std() == pytest.approx(0.02, abs=4 * 0.02 / (2 * len(values)) ** 0.5), name
            assert values.mean() == pytest.approx(0, abs=4 * 0.02 / len(values) ** 0.5), name
    assert seen


def test_convolutions_are_uniform_as_pytorch_makes_them(network):
    seen = 0
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            of_pytorch = nn.Conv2d(module.in_channels, 1024, module.kernel_size)
            for own, usual in ((module.weight, of_pytorch.weight), (module.bias, of_pytorch.bias)):
                if own is None:  # norms follow
                    continue
                seen += 1
                assert own.detach().abs().max() <= bound
                assert usual.detach().abs().max() == pytest.approx(bound, rel=0.01)
                # The mean of n squares of a uniform draw deviates by sqrt(4 / 5 / n) of itself.
                error = 4 * (0.8 / own.numel()) ** 0.5
                assert own.detach().square().mean() == pytest.approx(bound**2 / 3, rel=error), name
    assert seen


def test_the_generator_decides_all_of_them(network):
    torch.manual_seed(7)
    again = TrainedNetwork(MINI.widest().full)
    again.initialise(torch.Generator().manual_seed(0))
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, network.get_parameter(name)), name


def test_position_tables_decay_and_neither_the_class_token_nor_norms_and_biases(network):
    decayed, others = optimiser_of(network, RECIPE).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0)
    names = {parameter: name for name, parameter in network.named_parameters()}
    kept = {names[parameter] for parameter in others["params"]}
    assert "body.stem.class_token" in kept
    assert not any(name.endswith(".position") for name in kept)
    assert {name for name in names.values() if name.endswith(".bias")} <= kept
    assert all(parameter.dim() == 1 or names[parameter].endswith("class_token") for parameter in others["params"])
    assert all(parameter.dim() > 1 for parameter in decayed["params"])
