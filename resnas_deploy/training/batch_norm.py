"""Batch normalisation whose statistics are of the whole batch, however many processes share it."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor, nn


class SharedBatchNorm(nn.BatchNorm2d):
    """As `BatchNorm2d` of one process with the whole batch. PyTorch's own synchronised one needs GPUs.

    Every process must have as many images as the others.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(x)
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _total(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _total(centred.square().sum((0, 2, 3))) / count
        momentum = self.momentum or 0.1
        self.running_mean.lerp_(mean.detach(), momentum)
        self.running_var.lerp_(variance.detach() * count / (count - 1), momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale[:, None, None] + self.bias[:, None, None]


def share_batch_norms(module: nn.Module) -> None:
    """Let every batch normalisation inside take part."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.__class__ = SharedBatchNorm


def _total(value: Tensor) -> Tensor:
    from torch.distributed.nn.functional import all_reduce  # with gradients

    total: Tensor = all_reduce(value)  # type: ignore[no-untyped-call]  # torch's own lack
    return total
