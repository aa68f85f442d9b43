"""The average of the weights: what PyTorch's own would be, and what follows the re-sort and the state."""

from __future__ import annotations

import torch
from support.networks import SMALL
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resnas_deploy.training.average import Average
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.weights.checkpoint import untrained

DECAY = 0.9


def moving(network, steps):
    """Change every parameter and every running statistic, step by step."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        for tensor in (*network.parameters(), *network.buffers()):
            with torch.no_grad():
                if tensor.is_floating_point():
                    tensor.add_(torch.randn(tensor.shape, generator=generator))
                else:
                    tensor.add_(1)
        yield


def test_it_is_what_pytorchs_average_is_to_the_bit():
    network = TrainedNetwork(SMALL)
    network.load(untrained(SMALL))
    ours = Average(network, DECAY)
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)
    theirs.n_averaged.fill_(1)  # the first weights are averaged too, not replaced by those after the first step
    for _ in moving(network, 5):
        ours.update()
        theirs.update_parameters(network)
    own, other = ours.network.state_dict(), theirs.module.state_dict()
    assert own.keys() == other.keys() == network.state_dict().keys()
    for name, tensor in own.items():
        counted = name.endswith("num_batches_tracked")
        assert torch.equal(tensor, network.state_dict()[name] if counted else other[name]), name
    assert not any(torch.equal(a, b) for a, b in zip(ours.network.parameters(), network.parameters(), strict=True))
