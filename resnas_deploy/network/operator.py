"""The operator `resnas::pooled_residual`, which `torch.compile`, `torch.export` and AOTInductor see through.

Its equation in plain PyTorch is what a CPU computes and what the kernel is compared with; its sizes are the kernel's.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import triton_op, wrap_triton

from resnas_deploy.arch.elements import NORM_EPS
from resnas_deploy.errors import BadInput

NAME = "resnas::pooled_residual"
_CHANNELS_A_WARP = 256  # 8 for each of its 32 threads: one access of 16 bytes in fp16, two in fp32
_MOST_WARPS = 8


@dataclass(frozen=True)
class ReductionShape:
    """A reduction of `side` x `side` tokens of `width` channels to half as many a side, rounded up, of `out_width`.

    Raises `BadInput` for no tokens, or for fewer channels after the reduction than before it.
    """

    side: int
    width: int
    out_width: int

    def __post_init__(self) -> None:
        if self.side < 1:
            raise BadInput(f"the side of a reduction must be at least 1, found {self.side}")
        if not 1 <= self.width <= self.out_width:
            raise BadInput(
                f"the widths of a reduction must be positive and not shrink, found {self.width} to {self.out_width}"
            )

    @property
    def tokens(self) -> int:
        """Tokens before the reduction, the class token among them."""
        return 1 + self.side**2

    @property
    def out_tokens(self) -> int:
        """Tokens after it."""
        return 1 + ((self.side + 1) // 2) ** 2

    @property
    def block(self) -> int:
        """Channels that one program works on: a power of two, as the Triton language asks; those beyond are masked."""
        return 1 << (self.out_width - 1).bit_length()

    @property
    def warps(self) -> int:
        """Warps of one program, a power of two."""
        return min(max(self.block // _CHANNELS_A_WARP, 1), _MOST_WARPS)

    def constants(self, with_norm: bool) -> dict[str, int | float | bool]:
        """Return what is constant in the compiled kernel, by the names of its parameters."""
        return {
            "SIDE": self.side,
            "WIDTH": self.width,
            "OUT_WIDTH": self.out_width,
            "BLOCK": self.block,
            "WITH_NORM": with_norm,
            "EPS": NORM_EPS,
        }


def equation(
    x: Tensor, class_token: Tensor, patches: Tensor, table: Tensor, side: int, with_norm: bool
) -> list[Tensor]:
    """Return `y` and, if asked for, its LayerNorm without scale and shift, both `(B, 1 + N/4, C')` of the type of `x`.

    `x` is `(B, 1 + N, C)` with N = side * side, `class_token` `(B, 1, C')`, `patches` `(B, N/4, C')`, `table`
    `(1 + N/4, C')`; of an odd side N/4 is the square of half of it, rounded up. Sums and statistics are in float32;
    each output is rounded once.
    """
    tokens, half = x.float(), (side + 1) // 2
    grid = tokens[:, 1:]
    if side % 2:  # the mean of the last row and itself is that row, and so with the last column
        grid = grid.reshape(-1, side, side, x.shape[-1])
        grid = torch.cat([grid, grid[:, -1:]], dim=1)
        grid = torch.cat([grid, grid[:, :, -1:]], dim=2)
    grid = grid.reshape(-1, half, 2, half, 2, x.shape[-1])  # (B, row, 2, column, 2, C)
    residual = torch.cat([tokens[:, :1], grid.mean((2, 4)).flatten(1, 2)], dim=1)
    reduced = torch.cat([class_token, patches], dim=1).float() + table.float()
    y = reduced + F.pad(residual, (0, table.shape[-1] - x.shape[-1]))
    if not with_norm:
        return [y.to(x.dtype)]
    return [y.to(x.dtype), F.layer_norm(y, y.shape[-1:], eps=NORM_EPS).to(x.dtype)]


def launch(
    kernel: Any,
    shape: ReductionShape,
    inputs: tuple[Tensor, Tensor, Tensor, Tensor],
    y: Tensor,
    normed: Tensor | None,
) -> None:
    """Fill `y` and, where it is given, `normed`.

    `kernel` is `pooled_residual_kernel`, or what `torch.library.wrap_triton` makes of it. `inputs` are tokens
    `(B, 1 + N, C)`, class token `(B, 1, C')`, patches `(B, N/4, C')` and table `(1 + N/4, C')`, outputs
    `(B, 1 + N/4, C')`: all dense, on one device, of one type.
    """
    rows = y.shape[0] * shape.out_tokens
    second = y.new_empty(0) if normed is None else normed  # which the kernel then does not touch
    kernel[(rows,)](*inputs, y, second, **shape.constants(normed is not None), num_warps=shape.warps)


@functools.cache
def register() -> Any:
    """Register the operator, once a process, and return it. Imports triton.

    It takes and returns what `equation` does. On CUDA it is the kernel, elsewhere the equation; both
    are visible to the compiler, and with a fake tensor either tells the shapes.
    """
    from resnas_deploy.network.kernel import pooled_residual_kernel

    @triton_op(NAME, mutates_args=())
    def pooled_residual(
        x: Tensor, class_token: Tensor, patches: Tensor, table: Tensor, side: int, with_norm: bool
    ) -> list[Tensor]:
        if not x.is_cuda:
            return equation(x, class_token, patches, table, side, with_norm)
        shape = ReductionShape(side, x.shape[-1], table.shape[-1])
        y = x.new_empty(x.shape[0], shape.out_tokens, shape.out_width)
        outputs = [y, y.new_empty(y.shape)] if with_norm else [y]
        inputs = (x.contiguous(), class_token.contiguous(), patches.contiguous(), table.contiguous())
        launch(wrap_triton(pooled_residual_kernel), shape, inputs, y, outputs[1] if with_norm else None)
        return outputs

    return pooled_residual
