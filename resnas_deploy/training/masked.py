"""All groups of a batch at once, at the supernet's full width, with every channel that a subnet lacks set to zero.

The plain statement of multi-architectural sampling (arXiv 2109.00642, section 3.3), which `sliced` is held to. Its
shapes do not depend on the subnets, so that it can be compiled, and many small groups cost no more than few.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from resnas_deploy.arch.elements import BlockElement, HeadElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.mixer import Mixer, mixer_named
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.network.mixing import attend, queries_keys_values
from resnas_deploy.network.module import Attention, Head, ResidualReduction, Stem, TransformerBlock, ViTResNAS
from resnas_deploy.training.recomputing import Through, plainly
from resnas_deploy.training.transfer import moved


@dataclass(frozen=True)
class BlockMasks:
    """What remains of one position, a row for each image."""

    heads: Tensor  # (B, heads)
    channels: Tensor | None  # (B, head_dim): of each head; None where all have all of them
    hidden: Tensor  # (B, hidden)
    kept: Tensor  # (B,): 0 where the block is dropped
    mixers: tuple[Mixer, ...]  # all that any subnet may have here, as they are on the stage's grid
    mixed: Tensor  # (B, mixers): 1 in the column of the one that it has


@dataclass(frozen=True)
class Masks:
    """What remains of the supernet, a row for each image: 1 what a subnet has, 0 what it lacks."""

    widths: tuple[Tensor, ...]  # (B, C), by stage
    blocks: tuple[BlockMasks, ...]  # by position, of all stages


def masks_of(
    body: ViTResNAS,
    subnets: Sequence[Subnet],
    images: int,
    device: torch.device,
    *,
    channels: bool = False,
    space: SearchSpace | None = None,
) -> Masks:
    """Return the masks of a batch whose equal groups belong to the subnets, in order.

    All of them are made at once, as columns of one tensor, of which each is a view. With `channels` there are masks of
    the channels of heads as well, which subnets with smaller heads need. All mixers of the `space` have a column,
    whichever these subnets have.
    """
    sizes, place, question = _columns(body.arch, device, channels)
    counts = moved(torch.tensor([_counts(subnet, channels) for subnet in subnets]), device)  # (groups, Q)
    columns = (place < counts[:, question]).float().repeat_interleave(images // len(subnets), dim=0)
    parts = iter(torch.split(columns, sizes, dim=1))
    widths, blocks = [], []
    for number, stage in enumerate(body.arch.stages):
        widths.append(next(parts))
        mixers, own = _mixers(body.arch, number, subnets, space)
        mixed = F.one_hot(moved(own, device), len(mixers)).float().repeat_interleave(images // len(subnets), dim=0)
        for position in range(len(stage.blocks)):
            heads, hidden, kept = next(parts), next(parts), next(parts)[:, 0]
            sizes_of_heads = next(parts) if channels else None
            blocks.append(BlockMasks(heads, sizes_of_heads, hidden, kept, mixers, mixed[:, position]))
    return Masks(tuple(widths), tuple(blocks))


def _mixers(
    arch: ArchSpec, stage: int, subnets: Sequence[Subnet], space: SearchSpace | None
) -> tuple[tuple[Mixer, ...], Tensor]:
    """Return the mixers of a stage's grid, and which of them each block of each subnet has, `(groups, positions)`."""
    side = arch.side(stage)
    names = [[block.mixer for block in subnet.full.stages[stage].blocks] for subnet in subnets]
    all_names = dict.fromkeys([*(space.mixers_by_cost[stage] if space else ()), *itertools.chain(*names)])
    mixers = tuple(dict.fromkeys(mixer_named(name).at(side) for name in all_names))
    return mixers, torch.tensor([[mixers.index(mixer_named(name).at(side)) for name in row] for row in names])


def _counts(subnet: Subnet, channels: bool) -> list[int]:
    """Return how many leading columns of each mask a subnet has, in the order of `masks_of`."""
    counts = []
    for stage, kept in zip(subnet.full.stages, subnet.kept, strict=True):
        counts.append(stage.width)
        for block, keep in zip(stage.blocks, kept, strict=True):
            counts += (block.heads, block.hidden, int(keep))
            if channels:
                counts.append(block.head_dim)
    return counts


@lru_cache(maxsize=4)
def _columns(arch: ArchSpec, device: torch.device, channels: bool) -> tuple[list[int], Tensor, Tensor]:
    """Return the sizes of the masks, and of each column its place in its mask and that mask's number."""
    sizes: list[int] = []
    for stage in arch.stages:
        sizes.append(stage.width)
        for block in stage.blocks:
            sizes += (block.heads, block.hidden, 1)
            if channels:
                sizes.append(block.head_dim)
    place = torch.cat([torch.arange(size) for size in sizes]).to(device)
    question = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).to(device)
    return sizes, place, question


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
    attended = _attention(block.attention, masked_norm(block.norm1, x, width), own)
    x = x + attended * width * (own.kept * scales[0])[:, None, None]
    hidden = F.gelu(block.mlp.fc1(masked_norm(block.norm2, x, width))) * own.hidden[:, None]
    rest: Tensor = block.mlp.fc2(hidden) * width * (own.kept * scales[1])[:, None, None]
    return x + rest


def _attention(attention: Attention, x: Tensor, own: BlockMasks) -> Tensor:
    found = [_mixed(attention, x, own, mixer) for mixer in own.mixers]
    if len(found) > 1:
        found = [each * own.mixed[:, number, None, None, None] for number, each in enumerate(found)]
    attended = torch.stack(found).sum(0) if len(found) > 1 else found[0]
    projected: Tensor = attention.projection(attended.transpose(1, 2).flatten(2))
    return projected


def _mixed(attention: Attention, x: Tensor, own: BlockMasks, mixer: Mixer) -> Tensor:
    """Return what attention makes of the tokens if all images have that mixer, `(B, heads, T, head_dim)`."""
    qkv, side = attention.qkv, attention.side
    q, k, v = queries_keys_values(x, qkv.weight, qkv.bias, attention.heads, mixer, side)
    if own.channels is not None:  # scores of d of D channels are divided by sqrt(d), where sqrt(D) is the operator's
        exact = own.channels.to(attention.qkv.weight.dtype)
        q = q * (exact * (attention.head_dim / exact.sum(1, keepdim=True)).sqrt())[:, None, None].to(q.dtype)
    attended = attend(q, k, v, mixer, side) * own.heads[:, :, None, None]
    return attended if own.channels is None else attended * own.channels[:, None, None]


def _reduction(reduction: ResidualReduction, x: Tensor, width: Tensor, following: Tensor) -> Tensor:
    normed = masked_norm(reduction.norm, x, width)
    patches = reduction.conv(reduction.grid(normed)).flatten(2).transpose(1, 2) + reduction.position
    reduced = torch.cat([reduction.class_linear(normed[:, :1]), patches], dim=1)
    return (reduced + F.pad(reduction.residual(x), (0, reduction.padding))) * following
