"""The stem's convolutions where subnets differ in their width: leading channels of each, by slices or under masks.

A training batch is always computed under masks: the batch statistics of a channel are those of all images whose subnets
have it, whatever their own width. So each subnet is trained with the statistics that are kept for it, and needs none of
its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnas_deploy.network.module import Stem
from resnas_deploy.training.distributed import total_of_norm


def sliced_features(stem: Stem, images: Tensor, width: int) -> Tensor:
    """Return what the projection of a stem of `width` leading channels reads, `(B, width, S/2, S/2)`, in evaluation."""

    def layer(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        x = F.conv2d(x, conv.weight[:width, : x.shape[1]], None, conv.stride, conv.padding)
        mean, variance = _statistics(norm)
        return F.relu(
            F.batch_norm(x, mean[:width], variance[:width], norm.weight[:width], norm.bias[:width], eps=norm.eps)
        )

    x = layer(stem.conv1, stem.bn1, images)
    return x + layer(stem.conv3, stem.bn3, layer(stem.conv2, stem.bn2, x))


def masked_features(stem: Stem, images: Tensor, mask: Tensor) -> Tensor:
    """Return what the projection reads, `(B, mid, S/2, S/2)`: 0 in the channels that `mask`, `(B, mid)`, has not."""
    mask = mask[:, :, None, None]

    def layer(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
        return F.relu(_masked_norm(norm, conv(x), mask))

    x = layer(stem.conv1, stem.bn1, images)
    return x + layer(stem.conv3, stem.bn3, layer(stem.conv2, stem.bn2, x))


def _masked_norm(norm: nn.BatchNorm2d, x: Tensor, mask: Tensor) -> Tensor:
    """Normalise each channel by the statistics of the images that have it, and return 0 for the others."""
    if not norm.training:
        normed: Tensor = norm(x) * mask
        return normed.to(x.dtype)
    total, (running_mean, running_variance) = total_of_norm(norm), _statistics(norm)
    exact = x.to(norm.weight.dtype) * mask  # autocast gives bf16 or fp16; as PyTorch's own does, it computes in fp32
    there = total(mask.sum((0, 2, 3)).to(exact) * (x.shape[2] * x.shape[3]))  # values of each channel
    count = there.clamp(min=1)
    mean = total(exact.sum((0, 2, 3))) / count
    centred = (exact - mean[:, None, None]) * mask
    variance = total(centred.square().sum((0, 2, 3))) / count
    moved = (there > 0).to(exact) * (norm.momentum or 0.1)  # a channel that no image has keeps its statistics
    with torch.no_grad():
        running_mean.lerp_(mean.detach(), moved)
        running_variance.lerp_(variance.detach() * count / (count - 1).clamp(min=1), moved)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return ((centred * scale[:, None, None] + norm.bias[:, None, None]) * mask).to(x.dtype)


def _statistics(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError(f"{norm} must keep running statistics")
    return norm.running_mean, norm.running_var
