"""ViT and DeiT without its distillation token, in PyTorch alone: what a peer is where transformers is not installed.

The equations are those of arXiv 2010.11929 (section 3.1) with the norm before each part; exact GELU. Attention is
`scaled_dot_product_attention`, which takes the fastest kernel that there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SPREAD = 0.02  # standard deviation of the weights


class PlainViT(nn.Module):
    """Images `(B, 3, S, S)` to logits `(B, classes)`. `config` is a `PeerSpec`'s of the family vit."""

    def __init__(self, config: Mapping[str, object], image_size: int, classes: int) -> None:
        super().__init__()
        size, width, hidden, heads, depth = (
            int(cast(int, config[name]))
            for name in (
                "patch_size", "hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers"
            )
        )  # fmt: skip
        epsilon = float(cast(float, config["layer_norm_eps"]))
        self.patches = nn.Conv2d(3, width, size, stride=size)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.position = nn.Parameter(torch.empty(1, 1 + (image_size // size) ** 2, width))
        self.blocks = nn.Sequential(*(PlainBlock(width, hidden, heads, epsilon) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, epsilon)
        self.head = nn.Linear(width, classes)

    def draw(self, generator: torch.Generator) -> PlainViT:
        """Fill the weights with random ones, biases with zeros, and return the same module."""
        draw_weights(self, generator)
        return self

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        first = self.class_token.expand(images.shape[0], -1, -1)
        tokens = self.blocks(torch.cat([first, tokens], dim=1) + self.position)
        return cast(Tensor, self.head(self.norm(tokens)[:, 0]))


def draw_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Fill weights with random numbers and biases with zeros; norms stay as they are."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif "norm" not in name:
            nn.init.trunc_normal_(parameter, std=_SPREAD, generator=generator)


class PlainBlock(nn.Module):
    """Attention and an MLP on tokens `(B, N, width)`, each after its norm and added to what came in."""

    def __init__(self, width: int, hidden: int, heads: int, epsilon: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, epsilon), nn.LayerNorm(width, epsilon)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + cast(Tensor, self.projection(attended))
        return x + cast(Tensor, self.fc2(F.gelu(self.fc1(self.norm2(x)))))
