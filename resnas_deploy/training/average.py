"""The exponential moving average of a network's weights, which is what the recipes of single networks evaluate."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from resnas_deploy.training.network import TrainedNetwork


class Average:
    """A network whose weights and running statistics follow another's. It begins as that one is.

    The tensors of both are looked up once: whoever changes them, as `resort` does, changes them in place.
    """

    def __init__(self, network: TrainedNetwork, decay: float) -> None:
        self.network = copy.deepcopy(network)
        self._decay = decay
        self._own, self._own_counts = _tensors(self.network)
        self._others, self._other_counts = _tensors(network)

    @torch.no_grad()
    def update(self) -> None:
        """Move towards the other network as it is now: own = decay x own + (1 - decay) x other, in one launch."""
        torch._foreach_lerp_(self._own, self._others, 1 - self._decay)
        torch._foreach_copy_(self._own_counts, self._other_counts)


def _tensors(network: TrainedNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """Return the parameters and buffers that are averaged, and the counts, which are not."""
    found = [tensor.detach() for tensor in (*network.parameters(), *network.buffers())]
    return [own for own in found if own.is_floating_point()], [own for own in found if not own.is_floating_point()]
