"""A subnet's training pass with the leading slices of the supernet's weights: it does the subnet's work alone.

Slices are views, through which the gradients of every group add up in the supernet's own weights. Where a subnet has
many passes and none back, they can be gathered once (`GatheredSlices`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnas_deploy.arch.elements import BlockElement, HeadElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.spec import Block, Subnet
from resnas_deploy.network.mixing import attend, queries_keys_values
from resnas_deploy.network.module import (
    Attention,
    Head,
    Mlp,
    ResidualReduction,
    Stem,
    TransformerBlock,
    ViTResNAS,
    part_of,
)
from resnas_deploy.training.recomputing import Through, plainly


class GatheredSlices:
    """Keeps what was sliced, each in one piece, for further passes of the same subnet: `Through` for slices."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Tensor] = {}

    def __call__(self, part: Callable[..., Tensor], *arguments: Any) -> Tensor:
        """Return the part of a module's weights that the arguments say; a module is told by what it is, not holds."""
        key = (part, *arguments)
        if (found := self._kept.get(key)) is None:
            found = self._kept[key] = part(*arguments).contiguous()
        return found


def sliced_tokens(
    body: ViTResNAS,
    features: Tensor,
    subnet: Subnet,
    survival: Tensor | None,
    through: Through = plainly,
    taken: Through = plainly,
) -> Tensor:
    """Return normed tokens of the last stage, `(B, 1 + N, C)`, with C the subnet's width there.

    `features` is what the stem's projection reads, of which a subnet takes the leading channels; `survival`,
    `(2 x positions, B)`, by what each residual branch of each image is multiplied (drop-path), or None for as it is.
    Blocks and reductions are called `through`, and slices of weights `taken`.
    """
    branches = iter(survival) if survival is not None else None
    widths = [stage.width for stage in subnet.full.stages]
    flags = (
        (block, keep)
        for stage, kept in zip(subnet.full.stages, subnet.kept, strict=True)
        for block, keep in zip(stage.blocks, kept, strict=True)
    )
    stage, x = 0, features
    for element in elements(body.arch):
        module = body.get_submodule(element.name)
        match element, module:
            case StemElement(), Stem():
                x = _stem(module, x[:, : subnet.full.stem_mid_width or 3], widths[0], taken)
            case BlockElement(side=side), TransformerBlock():
                own, keep = next(flags)
                scales = (next(branches), next(branches)) if branches else (None, None)
                if keep:
                    x = through(_block, module, x, own, side, scales, taken)
            case ReductionElement(), ResidualReduction():
                stage += 1
                x = through(_reduction, module, x, widths[stage], taken)
            case HeadElement(), Head():
                x = _norm(module.norm, x, taken)
    return x


def sliced_logits(body: ViTResNAS, features: Tensor, subnet: Subnet, taken: Through = plainly) -> Tensor:
    """Return what a subnet's head says of the class token, `(B, classes)`, without drop-path."""
    head = part_of(body, "head", Head).linear
    tokens = sliced_tokens(body, features, subnet, None, plainly, taken)
    return sliced_linear(head, tokens[:, 0], head.out_features, taken)


def sliced_linear(layer: nn.Linear, x: Tensor, outputs: int, taken: Through = plainly) -> Tensor:
    """Return the first `outputs` rows of a linear, on as many of its leading inputs as `x` has channels."""
    return F.linear(x, taken(_weight, layer, outputs, x.shape[-1]), taken(_bias, layer, outputs))


def _norm(layer: nn.LayerNorm, x: Tensor, taken: Through) -> Tensor:
    width = x.shape[-1]
    return F.layer_norm(x, (width,), taken(_scale, layer, width), taken(_bias, layer, width), layer.eps)


def _stem(stem: Stem, features: Tensor, width: int, taken: Through) -> Tensor:
    projection = stem.projection
    weight = taken(_weight, projection, width, features.shape[1])
    x = F.conv2d(features, weight, taken(_bias, projection, width), projection.stride)
    x = x.flatten(2).transpose(1, 2)  # (B, N, C)
    token = taken(_token, stem, width).expand(len(x), -1, -1)
    return torch.cat([token, x], dim=1) + taken(_position, stem, width)


def _block(
    block: TransformerBlock,
    x: Tensor,
    own: Block,
    side: int,
    scales: tuple[Tensor | None, Tensor | None],
    taken: Through,
) -> Tensor:
    x = x + _scaled(_attention(block.attention, _norm(block.norm1, x, taken), own, side, taken), scales[0])
    return x + _scaled(_mlp(block.mlp, _norm(block.norm2, x, taken), own.hidden, taken), scales[1])


def _scaled(branch: Tensor, scale: Tensor | None) -> Tensor:
    return branch if scale is None else branch * scale[:, None, None]


def _attention(attention: Attention, x: Tensor, own: Block, side: int, taken: Through) -> Tensor:
    width, mixer = x.shape[-1], own.mixer_at(side)
    weight, bias = taken(_qkv_weight, attention, own, width), taken(_qkv_bias, attention, own)
    q, k, v = queries_keys_values(x, weight, bias, own.heads, mixer, side)
    x = attend(q, k, v, mixer, side).transpose(1, 2).flatten(2)
    return F.linear(x, taken(_projection, attention, own, width), taken(_bias, attention.projection, width))


def _mlp(mlp: Mlp, x: Tensor, hidden: int, taken: Through) -> Tensor:
    return sliced_linear(mlp.fc2, F.gelu(sliced_linear(mlp.fc1, x, hidden, taken)), x.shape[-1], taken)


def _reduction(reduction: ResidualReduction, x: Tensor, width: int, taken: Through) -> Tensor:
    conv, narrow = reduction.conv, x.shape[-1]
    normed = _norm(reduction.norm, x, taken)
    weight = taken(_weight, conv, width, narrow)
    patches = F.conv2d(reduction.grid(normed), weight, taken(_bias, conv, width), conv.stride, conv.padding)
    patches = patches.flatten(2).transpose(1, 2) + taken(_position, reduction, width)
    reduced = torch.cat([sliced_linear(reduction.class_linear, normed[:, :1], width, taken), patches], dim=1)
    return reduced + F.pad(reduction.residual(x), (0, width - narrow))


def _weight(layer: nn.Linear | nn.Conv2d, outputs: int, inputs: int) -> Tensor:
    return layer.weight[:outputs, :inputs]


def _scale(layer: nn.LayerNorm, width: int) -> Tensor:
    return layer.weight[:width]


def _bias(layer: nn.Linear | nn.Conv2d | nn.LayerNorm, outputs: int) -> Tensor:
    if layer.bias is None:
        raise TypeError(f"{layer} must have a bias")
    return layer.bias[:outputs]


def _token(stem: Stem, width: int) -> Tensor:
    return stem.class_token[..., :width]


def _position(module: Stem | ResidualReduction, width: int) -> Tensor:
    return module.position[..., :width]


def _qkv_weight(attention: Attention, own: Block, width: int) -> Tensor:
    rows = attention.qkv.weight.reshape(3, attention.heads, attention.head_dim, -1)
    return rows[:, : own.heads, : own.head_dim, :width].reshape(3 * own.inner, width)


def _qkv_bias(attention: Attention, own: Block) -> Tensor:
    rows = attention.qkv.bias.reshape(3, attention.heads, attention.head_dim)
    return rows[:, : own.heads, : own.head_dim].reshape(3 * own.inner)


def _projection(attention: Attention, own: Block, width: int) -> Tensor:
    weight = attention.projection.weight
    if own.head_dim == attention.head_dim:
        return weight[:width, : own.inner]
    columns = weight.reshape(-1, attention.heads, attention.head_dim)
    return columns[:width, : own.heads, : own.head_dim].reshape(width, own.inner)
