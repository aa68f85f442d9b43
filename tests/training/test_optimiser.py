"""The optimiser's update is PyTorch's own, also after it was restored."""

from __future__ import annotations

import copy

import torch
from support.networks import SMALL
from support.small_data import RECIPE

from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.optimiser import memory, optimiser_of, remember, set_rate
from resnas_deploy.weights.checkpoint import untrained


def pair():
    """Two equal networks, ours and PyTorch's optimiser of them."""
    one = TrainedNetwork(SMALL)
    one.load(untrained(SMALL))
    two = copy.deepcopy(one)
    ours, other = optimiser_of(one, RECIPE), optimiser_of(two, RECIPE)
    return one, two, ours, torch.optim.AdamW(other.param_groups, lr=RECIPE.peak_rate, fused=True)


def step(networks, optimisers, number):
    """Give both the same gradients, of some parameters alone as a supernet's subnets do, and update."""
    generator = torch.Generator().manual_seed(number)
    for index, (a, b) in enumerate(zip(*(network.parameters() for network in networks), strict=True)):
        gradient = torch.randn(a.shape, generator=generator)
        a.grad, b.grad = (None if (index + number) % 5 == 0 else torch.empty_like(p).copy_(gradient) for p in (a, b))
    for optimiser in optimisers:
        set_rate(optimiser, 0.01 / (number + 1))
        optimiser.step()


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_it_updates_as_pytorchs_does_to_the_bit():
    one, two, ours, theirs = pair()
    before = [parameter.detach().clone() for parameter in one.parameters()]
    for number in range(8):  # the later ones without PyTorch's own lookups
        step((one, two), (ours, theirs), number)
        assert same(one, two)
    assert not any(torch.equal(a, b) for a, b in zip(before, one.parameters(), strict=True))
    assert [float(state["step"]) for state in ours.state.values()] == [
        float(state["step"]) for state in theirs.state.values()
    ]


def test_a_scaled_loss_is_pytorchs_to_check():
    one, _, ours, _ = pair()
    for parameter in one.parameters():
        parameter.grad = torch.ones_like(parameter)
    ours.step()
    before = [parameter.detach().clone() for parameter in one.parameters()]
    ours.found_inf = torch.ones(())  # as a GradScaler says of gradients that are not finite
    ours.step()
    assert all(torch.equal(a, b) for a, b in zip(before, one.parameters(), strict=True))


def test_what_is_restored_lies_as_the_parameters_do():
    """The fused update reads a parameter's tensors side by side, in whatever order its values lie."""
    one, two, ours, theirs = pair()
    one.to(memory_format=torch.channels_last)
    for number in range(6):
        step((one, two), (ours, theirs), number)
    remembered = {name: value.contiguous().clone() for name, value in memory(ours, one).items()}
    again = optimiser_of(one, RECIPE)
    remember(again, one, remembered)
    for number in range(6, 9):
        step((one, two), (again, theirs), number)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
