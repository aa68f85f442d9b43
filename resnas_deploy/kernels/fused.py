"""A ViT-ResNAS whose residual reductions end in the kernel, which makes the next block's first norm with them.

Equal to the plain module in real numbers. In floats the kernel rounds once where the plain module rounds each step.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from typing import cast

import torch
from torch import Tensor, nn

from resnas_deploy.elements import elements
from resnas_deploy.kernels import op
from resnas_deploy.model import ResidualReduction, TransformerBlock, ViTResNAS

_LEAST_CAPABILITY = (8, 0)  # what the kernel is compiled for in tests


class FusedReduction(nn.Module):
    """`(B, 1 + N, C)` to the tokens `(B, 1 + N/4, C')` and their LayerNorm, without its scale and shift.

    It takes over the parts of the reduction that it is made of, which is not to be used any more. Biases and positions
    are one table. The convolution's weight is channels-last, so that its output is patch tokens without a move.
    """

    def __init__(self, reduction: ResidualReduction) -> None:
        super().__init__()
        op.register()
        self.side = reduction.side
        self.norm, self.conv, self.class_linear = reduction.norm, reduction.conv, reduction.class_linear
        patches = reduction.position[0] + cast(Tensor, self.conv.bias)
        self.table = nn.Parameter(torch.cat([self.class_linear.bias[None], patches]).detach(), requires_grad=False)
        self.conv.bias = None
        self.class_linear.register_parameter("bias", None)
        self.conv.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which torch's types do not have

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        normed = self.norm(x)
        grid = normed[:, 1:].unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)  # channels-last, a view
        patches = self.conv(grid).flatten(2).transpose(1, 2)
        y, y_normed = torch.ops.resnas.pooled_residual(
            x, self.class_linear(normed[:, :1]), patches, self.table, self.side, True
        )
        return y, y_normed


class NormedBlock(nn.Module):
    """The block after a fused reduction: tokens and their LayerNorm, both `(B, T, C)`, to tokens.

    The norm's scale g and shift s are in the linear that reads it: W (g n + s) + b = (W diag(g)) n + (b + W s).
    """

    def __init__(self, block: TransformerBlock) -> None:
        super().__init__()
        self.attention, self.norm2, self.mlp = block.attention, block.norm2, block.mlp
        scale, shift, qkv = block.norm1.weight, block.norm1.bias, self.attention.qkv
        qkv.bias = nn.Parameter((qkv.bias + qkv.weight @ shift).detach(), requires_grad=False)
        qkv.weight = nn.Parameter((qkv.weight * scale).detach(), requires_grad=False)

    def forward(self, tokens: tuple[Tensor, Tensor]) -> Tensor:
        x, normed = tokens
        x = x + self.attention(normed)
        return x + cast(Tensor, self.mlp(self.norm2(x)))


def fuse_reductions(model: ViTResNAS) -> ViTResNAS:
    """Put the kernel into the model, in float32 and in evaluation mode, and return the same model.

    Its own tensors are replaced and not written to: a checkpoint whose memory they share is as before. On a CPU the
    fused modules compute the same in plain PyTorch. Needs triton.
    """
    order = [element.name for element in elements(model.arch)]
    for name, following in zip(order, order[1:], strict=False):
        reduction, block = model.get_submodule(name), model.get_submodule(following)
        if isinstance(reduction, ResidualReduction) and isinstance(block, TransformerBlock):
            model.set_submodule(name, FusedReduction(reduction))
            model.set_submodule(following, NormedBlock(block))
    return model


def fusion_problem(device: torch.device) -> str | None:
    """Why the kernel cannot be used on that device, or None."""
    if device.type != "cuda":
        return "the kernel is for NVIDIA GPUs"
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "triton compiles what launches a kernel with a C compiler, and none was found"
    if torch.cuda.get_device_capability(device) < _LEAST_CAPABILITY:
        return "the kernel needs compute capability 8.0"
    return None
