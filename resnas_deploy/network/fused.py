"""A ViT-ResNAS whose residual reductions end in the kernel, which makes the next block's first norm with them.

Equal to the plain module in real numbers. In floats the kernel rounds once where the plain module rounds each step.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
from typing import cast

import torch
from torch import Tensor, nn

from resnas_deploy.arch.elements import ReductionElement, elements
from resnas_deploy.network import operator as op
from resnas_deploy.network.module import ResidualReduction, TransformerBlock, ViTResNAS, part_of

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
        self.table = _constant(torch.cat([self.class_linear.bias[None], patches]))
        self.conv.weight = _constant(self.conv.weight.contiguous(memory_format=torch.channels_last))
        for part in (self.conv, self.class_linear):
            part.register_parameter("bias", None)

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
        qkv.bias = _constant(qkv.bias + qkv.weight @ shift)
        qkv.weight = _constant(qkv.weight * scale)

    def forward(self, tokens: tuple[Tensor, Tensor]) -> Tensor:
        x, normed = tokens
        x = x + cast(Tensor, self.attention(normed))
        return x + cast(Tensor, self.mlp(self.norm2(x)))


def fuse_reductions(model: ViTResNAS) -> ViTResNAS:
    """Put the kernel into the model, in float32 and in evaluation mode, and return the same model.

    Its own tensors are replaced and not written to: a checkpoint whose memory they share is as before. On a CPU the
    fused modules compute the same in plain PyTorch. Needs triton.
    """
    for element, following in itertools.pairwise(elements(model.arch)):
        if isinstance(element, ReductionElement):  # of which a block of the next stage always follows
            reduction = part_of(model, element.name, ResidualReduction)
            block = part_of(model, following.name, TransformerBlock)
            model.set_submodule(element.name, FusedReduction(reduction))
            model.set_submodule(following.name, NormedBlock(block))
    return model


def _constant(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach(), requires_grad=False)


def fusion_problem(device: torch.device) -> str | None:
    """Say why the kernel cannot be used on that device, or return None."""
    if device.type != "cuda":
        return "the kernel is for NVIDIA GPUs"
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed"
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "triton compiles what launches a kernel with a C compiler, and none was found"
    if torch.cuda.get_device_capability(device) < _LEAST_CAPABILITY:
        return "the kernel needs compute capability 8.0"
    return None
