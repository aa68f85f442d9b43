"""All groups of a batch at once, at the supernet's full width, with every channel that a subnet lacks set to zero.

The plain statement of multi-architectural sampling (arXiv 2109.00642, section 3.3), which `sliced` is held to. Its
shapes do not depend on the subnets, so that it can be compiled, and many small groups cost no more than few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from resnas_deploy.arch.elements import BlockElement, HeadElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.spec import Subnet
from resnas_deploy.network.module import Attention, Head, ResidualReduction, Stem, TransformerBlock, ViTResNAS
from resnas_deploy.training.recomputing import Through, plainly


@dataclass(frozen=True)
class BlockMasks:
    """What remains of one position, a row for each image."""

    heads: Tensor  # (B, heads)
    hidden: Tensor  # (B, hidden)
    kept: Tensor  # (B,): 0 where the block is dropped


@dataclass(frozen=True)
class Masks:
    """What remains of the supernet, a row for each image: 1 what a subnet has, 0 what it lacks."""

    widths: tuple[Tensor, ...]  # (B, C), by stage
    blocks: tuple[BlockMasks, ...]  # by position, of all stages


def masks_of(body: ViTResNAS, subnets: Sequence[Subnet], images: int, device: torch.device) -> Masks:
    """Return the masks of a batch whose equal groups belong to the subnets, in order."""

    def rows(counts: Sequence[int], size: int) -> Tensor:
        leading = torch.arange(size, device=device) < torch.tensor(counts, device=device)[:, None]
        return leading.float().repeat_interleave(images // len(subnets), dim=0)

    widths, blocks = [], []
    for number, stage in enumerate(body.arch.stages):
        widths.append(rows([subnet.full.stages[number].width for subnet in subnets], stage.width))
        for position, block in enumerate(stage.blocks):
            own = [subnet.full.stages[number].blocks[position] for subnet in subnets]
            kept = [int(subnet.kept[number][position]) for subnet in subnets]
            blocks.append(
                BlockMasks(
                    rows([item.heads for item in own], block.heads),
                    rows([item.hidden for item in own], block.hidden),
                    rows(kept, 1)[:, 0],
                )
            )
    return Masks(tuple(widths), tuple(blocks))


def masked_tokens(
    body: ViTResNAS, features: Tensor, masks: Masks, survival: Tensor | None, through: Through = plainly
) -> Tensor:
    """Return normed tokens of the last stage at full width, `(B, 1 + N, C)`: zero in the channels that a subnet lacks.

    `features`, `survival` and `through` are those of `sliced.sliced_tokens`, of the whole batch.
    """
    blocks = iter(masks.blocks)
    branches = iter(survival) if survival is not None else None
    stage, x = 0, features
    for element in elements(body.arch):
        module, width = body.get_submodule(element.name), masks.widths[stage][:, None]
        match element, module:
            case StemElement(), Stem():
                x = module.tokens(x) * width
            case BlockElement(), TransformerBlock():
                scales = (next(branches), next(branches)) if branches else (1.0, 1.0)
                x = through(_block, module, x, width, next(blocks), scales)
            case ReductionElement(), ResidualReduction():
                stage += 1
                x = through(_reduction, module, x, width, masks.widths[stage][:, None])
            case HeadElement(), Head():
                x = masked_norm(module.norm, x, width)
    return x


def masked_norm(layer: torch.nn.LayerNorm, x: Tensor, mask: Tensor) -> Tensor:
    """Normalise by the statistics of the channels that `mask`, `(B, 1, C)`, keeps; `x` is 0 elsewhere."""
    count = mask.sum(-1, keepdim=True)
    centred = (x - x.sum(-1, keepdim=True) / count) * mask
    variance = centred.square().sum(-1, keepdim=True) / count
    return (centred * torch.rsqrt(variance + layer.eps) * layer.weight + layer.bias) * mask


def _block(
    block: TransformerBlock, x: Tensor, width: Tensor, own: BlockMasks, scales: tuple[Tensor | float, Tensor | float]
) -> Tensor:
    attended = _attention(block.attention, masked_norm(block.norm1, x, width), own.heads)
    x = x + attended * width * (own.kept * scales[0])[:, None, None]
    hidden = F.gelu(block.mlp.fc1(masked_norm(block.norm2, x, width))) * own.hidden[:, None]
    rest: Tensor = block.mlp.fc2(hidden) * width * (own.kept * scales[1])[:, None, None]
    return x + rest


def _attention(attention: Attention, x: Tensor, heads: Tensor) -> Tensor:
    batch, tokens, _ = x.shape
    qkv = attention.qkv(x).reshape(batch, tokens, 3, attention.heads, attention.head_dim)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    attended = F.scaled_dot_product_attention(q, k, v) * heads[:, :, None, None]
    projected: Tensor = attention.projection(attended.transpose(1, 2).reshape(batch, tokens, -1))
    return projected


def _reduction(reduction: ResidualReduction, x: Tensor, width: Tensor, following: Tensor) -> Tensor:
    normed = masked_norm(reduction.norm, x, width)
    patches = reduction.conv(reduction.grid(normed)).flatten(2).transpose(1, 2) + reduction.position
    reduced = torch.cat([reduction.class_linear(normed[:, :1]), patches], dim=1)
    return (reduced + F.pad(reduction.residual(x), (0, reduction.padding))) * following
