"""PiT, the pooling-based vision transformer, in PyTorch alone: a peer that transformers has not.

From its paper (arXiv 2103.16302, section 3.2, figure 3 and table 1): three stages of plain transformer blocks, between
which pooling halves the grid of tokens and doubles their width: a depthwise 3x3 convolution of stride 2 for the grid,
and a linear of its own for the class token. Patches overlap, the position is learnt and added to the grid alone, and
the head reads the class token. Without the distillation token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from resnas_deploy.network.plain_vit import PlainBlock, draw_weights

_GROWS = 2  # how many times as wide the tokens are after each pooling
_KERNEL = 3  # of the pooling


class PiT(nn.Module):
    """Images `(B, 3, S, S)` to logits `(B, classes)`. `config` is a `PeerSpec`'s of the family pit."""

    def __init__(self, config: Mapping[str, object], image_size: int, classes: int) -> None:
        super().__init__()
        size, stride, head_dim, ratio = (
            int(cast(int, config[name])) for name in ("patch_size", "patch_stride", "head_dim", "mlp_ratio")
        )
        depths, heads = (cast(Sequence[int], config[name]) for name in ("depths", "num_attention_heads"))
        epsilon = float(cast(float, config["layer_norm_eps"]))
        widths = [count * head_dim for count in heads]
        side = (image_size - size) // stride + 1
        self.patches = nn.Conv2d(3, widths[0], size, stride=stride)
        self.class_token = nn.Parameter(torch.empty(1, 1, widths[0]))
        self.position = nn.Parameter(torch.empty(1, side * side, widths[0]))
        self.stages = nn.ModuleList(
            nn.Sequential(*(PlainBlock(width, ratio * width, count, epsilon) for _ in range(depth)))
            for width, count, depth in zip(widths, heads, depths, strict=True)
        )
        self.pools = nn.ModuleList()
        for width in widths[:-1]:
            self.pools.append(_Pool(width, side))
            side = (side + 1) // 2
        self.norm = nn.LayerNorm(widths[-1], epsilon)
        self.head = nn.Linear(widths[-1], classes)

    def draw(self, generator: torch.Generator) -> PiT:
        """Fill the weights with random ones, biases with zeros, and return the same module."""
        draw_weights(self, generator)
        return self

    def forward(self, images: Tensor) -> Tensor:
        grid = self.patches(images).flatten(2).transpose(1, 2) + self.position  # (B, N, C)
        tokens = torch.cat([self.class_token.expand(images.shape[0], -1, -1), grid], dim=1)
        tokens = self.stages[0](tokens)
        for pool, stage in zip(self.pools, self.stages[1:], strict=True):
            tokens = stage(pool(tokens))
        return cast(Tensor, self.head(self.norm(tokens[:, 0])))


class _Pool(nn.Module):
    """A class token and a grid of `side` x `side` tokens to half as many a side, rounded up, twice as wide."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.width, self.side = width, side
        wide = _GROWS * width
        self.grid = nn.Conv2d(width, wide, _KERNEL, stride=2, padding=_KERNEL // 2, groups=width)
        self.first = nn.Linear(width, wide)

    def forward(self, tokens: Tensor) -> Tensor:
        first, rest = tokens[:, :1], tokens[:, 1:]
        grid = self.grid(rest.transpose(1, 2).reshape(-1, self.width, self.side, self.side))
        return torch.cat([self.first(first), grid.flatten(2).transpose(1, 2)], dim=1)
