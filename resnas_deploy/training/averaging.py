"""Exponential moving averages of a network's weights and running statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Averaged:
    """The average of a network's state. Whole numbers (counters) are copied."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self.state: dict[str, Tensor] = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the network as it is now."""
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - self._decay)
            else:
                self.state[name].copy_(value)
