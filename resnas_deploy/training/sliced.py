"""A subnet's training pass with the leading slices of the supernet's weights: it does the subnet's work alone.

Slices are views, through which the gradients of every group add up in the supernet's own weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnas_deploy.arch.elements import BlockElement, HeadElement, ReductionElement, StemElement, elements
from resnas_deploy.arch.spec import Block, Subnet
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


def sliced_tokens(
    body: ViTResNAS, features: Tensor, subnet: Subnet, survival: Tensor | None, through: Through = plainly
) -> Tensor:
    """Return normed tokens of the last stage, `(B, 1 + N, C)`, with C the subnet's width there.

    `features` is what the stem's projection reads, of which a subnet takes the leading channels; `survival`,
    `(2 x positions, B)`, by what each residual branch of each image is multiplied (drop-path), or None for as it is.
    Blocks and reductions are called `through`.
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
                x = _stem(module, x[:, : subnet.full.stem_mid_width or 3], widths[0])
            case BlockElement(), TransformerBlock():
                own, keep = next(flags)
                scales = (next(branches), next(branches)) if branches else (None, None)
                if keep:
                    x = through(_block, module, x, own, scales)
            case ReductionElement(), ResidualReduction():
                stage += 1
                x = through(_reduction, module, x, widths[stage])
            case HeadElement(), Head():
                x = _norm(module.norm, x)
    return x


def sliced_logits(body: ViTResNAS, features: Tensor, subnet: Subnet) -> Tensor:
    """Return what a subnet's head says of the class token, `(B, classes)`, without drop-path."""
    head = part_of(body, "head", Head).linear
    return sliced_linear(head, sliced_tokens(body, features, subnet, None)[:, 0], head.out_features)


def sliced_linear(layer: nn.Linear, x: Tensor, outputs: int) -> Tensor:
    """Return the first `outputs` rows of a linear, on as many of its leading inputs as `x` has channels."""
    return F.linear(x, layer.weight[:outputs, : x.shape[-1]], layer.bias[:outputs])


def _norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    width = x.shape[-1]
    return F.layer_norm(x, (width,), layer.weight[:width], layer.bias[:width], layer.eps)


def _stem(stem: Stem, features: Tensor, width: int) -> Tensor:
    projection = stem.projection
    weight = projection.weight[:width, : features.shape[1]]
    x = F.conv2d(features, weight, _bias(projection)[:width], projection.stride)
    x = x.flatten(2).transpose(1, 2)  # (B, N, C)
    token = stem.class_token[..., :width].expand(len(x), -1, -1)
    return torch.cat([token, x], dim=1) + stem.position[..., :width]


def _block(block: TransformerBlock, x: Tensor, own: Block, scales: tuple[Tensor | None, Tensor | None]) -> Tensor:
    x = x + _scaled(_attention(block.attention, _norm(block.norm1, x), own), scales[0])
    return x + _scaled(_mlp(block.mlp, _norm(block.norm2, x), own.hidden), scales[1])


def _scaled(branch: Tensor, scale: Tensor | None) -> Tensor:
    return branch if scale is None else branch * scale[:, None, None]


def _attention(attention: Attention, x: Tensor, own: Block) -> Tensor:
    batch, tokens, width = x.shape
    heads, size, inner = own.heads, own.head_dim, own.inner
    rows = (3, attention.heads, attention.head_dim)
    weight = attention.qkv.weight.reshape(*rows, -1)[:, :heads, :size, :width].reshape(3 * inner, width)
    bias = attention.qkv.bias.reshape(rows)[:, :heads, :size].reshape(3 * inner)
    q, k, v = F.linear(x, weight, bias).reshape(batch, tokens, 3, heads, size).permute(2, 0, 3, 1, 4)
    x = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, inner)
    projection = attention.projection
    if size == attention.head_dim:
        return sliced_linear(projection, x, width)
    columns = projection.weight.reshape(-1, *rows[1:])[:width, :heads, :size].reshape(width, inner)
    return F.linear(x, columns, projection.bias[:width])


def _mlp(mlp: Mlp, x: Tensor, hidden: int) -> Tensor:
    return sliced_linear(mlp.fc2, F.gelu(sliced_linear(mlp.fc1, x, hidden)), x.shape[-1])


def _reduction(reduction: ResidualReduction, x: Tensor, width: int) -> Tensor:
    conv, narrow = reduction.conv, x.shape[-1]
    normed = _norm(reduction.norm, x)
    patches = F.conv2d(
        reduction.grid(normed), conv.weight[:width, :narrow], _bias(conv)[:width], conv.stride, conv.padding
    )
    patches = patches.flatten(2).transpose(1, 2) + reduction.position[..., :width]
    reduced = torch.cat([sliced_linear(reduction.class_linear, normed[:, :1], width), patches], dim=1)
    return reduced + F.pad(reduction.residual(x), (0, width - narrow))


def _bias(layer: nn.Conv2d) -> Tensor:
    if layer.bias is None:
        raise TypeError(f"{layer} must have a bias")
    return layer.bias
