"""The kernel's equation in plain PyTorch: what a CPU computes, and what the kernel is compared with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from resnas_deploy.arch.elements import NORM_EPS


def pooled_residual(
    x: Tensor, class_token: Tensor, patches: Tensor, table: Tensor, side: int, with_norm: bool
) -> list[Tensor]:
    """`y` and, if asked for, its LayerNorm without scale and shift, both `(B, 1 + N/4, C')` of the type of `x`.

    `x` is `(B, 1 + N, C)` with N = side * side, `class_token` `(B, 1, C')`, `patches` `(B, N/4, C')`, `table`
    `(1 + N/4, C')`. Sums and statistics are in float32; each output is rounded once.
    """
    tokens, half = x.float(), side // 2
    grid = tokens[:, 1:].reshape(-1, half, 2, half, 2, x.shape[-1])  # (B, row, 2, column, 2, C)
    residual = torch.cat([tokens[:, :1], grid.mean((2, 4)).flatten(1, 2)], dim=1)
    reduced = torch.cat([class_token, patches], dim=1).float() + table.float()
    y = reduced + F.pad(residual, (0, table.shape[-1] - x.shape[-1]))
    if not with_norm:
        return [y.to(x.dtype)]
    return [y.to(x.dtype), F.layer_norm(y, y.shape[-1:], eps=NORM_EPS).to(x.dtype)]
