"""Attention of every mixer, on the tokens of a grid: what `arch.mixer` describes, in PyTorch.

Weights are passed in, since training has leading slices of them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from resnas_deploy.arch.mixer import POOLED, WINDOW, Mixer, Region


def queries_keys_values(
    x: Tensor, weight: Tensor, bias: Tensor, heads: int, mixer: Mixer, side: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries `(B, heads, T, d)`, and keys and values `(B, heads, S, d)`, of normed tokens `(B, T, C)`.

    `weight` is `(3 x heads x d, C)` and `bias` its bias, rows ordered q, k, v, each by head. `mixer` is resolved for
    the grid (`Mixer.at`).
    """
    if mixer.kind != POOLED:
        q, k, v = _by_head(F.linear(x, weight, bias), 3, heads)
        return q, k, v
    inner = len(weight) // 3
    (q,) = _by_head(F.linear(x, weight[:inner], bias[:inner]), 1, heads)
    k, v = _by_head(F.linear(pooled_tokens(x, side, mixer.size), weight[inner:], bias[inner:]), 2, heads)
    return q, k, v


def attend(q: Tensor, k: Tensor, v: Tensor, mixer: Mixer, side: int) -> Tensor:
    """Return what attention makes of those queries, keys and values, `(B, heads, T, d)`."""
    if mixer.kind != WINDOW:
        return F.scaled_dot_product_attention(q, k, v)
    grids = [part[:, :, 1:].reshape(*part.shape[:2], side, side, part.shape[3]) for part in (q, k, v)]
    class_token = F.scaled_dot_product_attention(q[:, :, :1], k, v)
    rows: dict[int, list[Tensor]] = {}
    for region in mixer.regions(side):
        queries, keys, values = (_windows(grid, region) for grid in grids)
        keys, values = (
            torch.cat([part[:, :, None, :1].expand(-1, -1, region.windows, -1, -1), own], dim=3)
            for part, own in ((k, keys), (v, values))
        )
        found = _grid(F.scaled_dot_product_attention(queries, keys, values), region)
        rows.setdefault(region.top, []).append(found)
    patches = torch.cat([torch.cat(parts, dim=3) for parts in rows.values()], dim=2)
    return torch.cat([class_token, patches.flatten(2, 3)], dim=2)


def pooled_tokens(x: Tensor, side: int, size: int) -> Tensor:
    """Return `(B, 1 + N, C)` with its patch tokens replaced by the means of cells of `size` x `size`.

    Cells at the lower and the right edge are cut where `size` does not divide `side`.
    """
    grid = x[:, 1:].transpose(1, 2).reshape(x.shape[0], -1, side, side)
    means = F.avg_pool2d(grid, size, ceil_mode=True).flatten(2).transpose(1, 2)
    return torch.cat([x[:, :1], means], dim=1)


def _by_head(x: Tensor, parts: int, heads: int) -> Tensor:
    """Return `(parts, B, heads, T, d)` of `(B, T, parts x heads x d)`."""
    return x.reshape(*x.shape[:2], parts, heads, -1).permute(2, 0, 3, 1, 4)


def _windows(grid: Tensor, region: Region) -> Tensor:
    """Return a region's windows `(B, heads, windows, window tokens, d)` of a grid `(B, heads, side, side, d)`."""
    own = grid[:, :, region.top : region.top + region.height, region.left : region.left + region.width]
    rows, columns = region.height // region.window_height, region.width // region.window_width
    own = own.reshape(*own.shape[:2], rows, region.window_height, columns, region.window_width, own.shape[4])
    return own.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def _grid(windows: Tensor, region: Region) -> Tensor:
    """Return `(B, heads, height, width, d)` of a region's windows."""
    height, width = region.window_height, region.window_width
    rows, columns = region.height // height, region.width // width
    own = windows.reshape(*windows.shape[:2], rows, columns, height, width, windows.shape[4])
    return own.transpose(3, 4).flatten(4, 5).flatten(2, 3)
