"""Heads and hidden channels sorted by importance, so that leading slices hold the important ones.

The importance of a unit is the sum of absolute values of the weights that write and read it (arXiv 2109.00642, section
3.3). What the whole network computes does not change. In a space that chooses the heads' size the channels of each head
are sorted as well: those of q and k together, whose products are summed, and those of v with what reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.network.module import TransformerBlock, ViTResNAS

Companions = Callable[[Tensor], Iterable[Tensor]]  # the tensors that follow a parameter, as an optimiser's


@torch.no_grad()
def resort(body: ViTResNAS, companions: Companions, space: SearchSpace) -> None:
    """Sort the heads and hidden channels of every block, the most important first, and the companions with them."""
    for number, stage in enumerate(space.stages, start=1):
        for block in body.get_submodule(f"stage{number}").children():
            if not isinstance(block, TransformerBlock):
                raise TypeError(f"stage{number} must have blocks alone, found {type(block).__name__}")
            _heads(block, companions)
            if len(stage.head_dims) > 1:
                _channels_of_heads(block, companions)
            _hidden(block, companions)


def _heads(block: TransformerBlock, companions: Companions) -> None:
    qkv, projection = block.attention.qkv, block.attention.projection
    written = (3, block.attention.heads, block.attention.head_dim)
    read = written[1:]
    importance = qkv.weight.abs().reshape(*written, -1).sum((0, 2, 3))
    importance += projection.weight.abs().reshape(-1, *read).sum((0, 2))
    order = importance.argsort(descending=True, stable=True)
    for tensor in _all(companions, qkv.weight, qkv.bias):
        tensor.copy_(tensor.reshape(*written, -1)[:, order].reshape(tensor.shape))
    for tensor in _all(companions, projection.weight):
        tensor.copy_(tensor.reshape(-1, *read)[:, order].reshape(tensor.shape))


def _channels_of_heads(block: TransformerBlock, companions: Companions) -> None:
    qkv, projection = block.attention.qkv, block.attention.projection
    written = (3, block.attention.heads, block.attention.head_dim)
    read = written[1:]
    queries, keys, values = qkv.weight.abs().reshape(*written, -1).sum(3)  # each (heads, head_dim)
    values = values + projection.weight.abs().reshape(-1, *read).sum(0)
    scores, outputs = ((x.argsort(dim=1, descending=True, stable=True)) for x in (queries + keys, values))
    order = torch.stack([scores, scores, outputs])  # (3, heads, head_dim)
    for tensor in _all(companions, qkv.weight, qkv.bias):
        rows = tensor.reshape(*written, -1)
        tensor.copy_(rows.take_along_dim(order[..., None], 2).reshape(tensor.shape))
    for tensor in _all(companions, projection.weight):
        tensor.copy_(tensor.reshape(-1, *read).take_along_dim(outputs[None], 2).reshape(tensor.shape))


def _hidden(block: TransformerBlock, companions: Companions) -> None:
    fc1, fc2 = block.mlp.fc1, block.mlp.fc2
    importance = fc1.weight.abs().sum(1) + fc2.weight.abs().sum(0)
    order = importance.argsort(descending=True, stable=True)
    for tensor in _all(companions, fc1.weight, fc1.bias):
        tensor.copy_(tensor[order])
    for tensor in _all(companions, fc2.weight):
        tensor.copy_(tensor[:, order])


def _all(companions: Companions, *parameters: Tensor) -> Iterable[Tensor]:
    for parameter in parameters:
        yield parameter
        yield from companions(parameter)
