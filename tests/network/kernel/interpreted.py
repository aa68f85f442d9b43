"""A program: the kernel in Triton's interpreter, beside the plain module in float64. One JSON line a case.

The interpreter must be chosen before triton is imported, so this is a process of its own.
"""

from __future__ import annotations

import itertools
import json
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch

from resnas_deploy.arch.elements import NORM_EPS, ReductionElement
from resnas_deploy.network.kernel import pooled_residual_kernel
from resnas_deploy.network.module import ResidualReduction
from resnas_deploy.network.operator import ReductionShape, launch

SIZES = [
    (4, 8, 8),
    (4, 20, 36),
    (8, 5, 7),
    (8, 16, 24),
    (2, 3, 300),
    (7, 20, 36),
    (1, 5, 7),
]  # side, width, width after
TYPES = [torch.float32, torch.float16, torch.bfloat16]
GUARD = 64  # elements around each output that nothing may write to


def reduction(side, width, out_width):
    """A reduction with random parameters, norm and biases included, in float64."""
    module = ResidualReduction(ReductionElement("reduction", width, out_width, side)).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return module


def guarded(shape, dtype):
    """An output, and the memory that it is the middle of."""
    memory = torch.full((torch.Size(shape).numel() + 2 * GUARD,), 7.0, dtype=dtype)
    return memory[GUARD:-GUARD].view(shape), memory


def untouched(memory):
    return bool((memory[:GUARD] == 7).all() and (memory[-GUARD:] == 7).all())


def case(size, batch, dtype):
    module, shape = reduction(*size), ReductionShape(*size)
    x = torch.randn(batch, shape.tokens, shape.width).to(dtype)
    normed = module.norm(x.double())
    patches = torch.nn.functional.conv2d(module.grid(normed), module.conv.weight, stride=2, padding=1)
    table = torch.cat([module.class_linear.bias[None], module.position[0] + module.conv.bias])
    inputs = (
        x,
        (normed[:, :1] @ module.class_linear.weight.T).to(dtype),
        patches.flatten(2).transpose(1, 2).contiguous().to(dtype),
        table.to(dtype),
    )
    (y, memory), (y_normed, normed_memory) = (guarded((batch, shape.out_tokens, shape.out_width), dtype) for _ in "yn")
    launch(pooled_residual_kernel, shape, inputs, y, y_normed)
    alone, alone_memory = guarded(y.shape, dtype)
    launch(pooled_residual_kernel, shape, inputs, alone, None)

    expected = module(x.double())
    expected_normed = torch.nn.functional.layer_norm(expected, expected.shape[-1:], eps=NORM_EPS)
    # Three inputs and the output are rounded, each by half of eps; the norm divides what that does to y.
    eps = max(torch.finfo(dtype).eps, 4 * torch.finfo(torch.float32).eps)
    terms = sum(value.abs().max() for value in (*inputs, y)).item()
    least = expected.var(-1, correction=0).add(NORM_EPS).sqrt().min().item()
    return {
        "case": f"{size} batch {batch} {dtype}",
        "y": (y.double() - expected).abs().max().item(),
        "y_within": eps / 2 * terms,
        "normed": (y_normed.double() - expected_normed).abs().max().item(),
        "normed_within": eps * terms / least + eps * expected_normed.abs().max().item(),
        "same_without_norm": torch.equal(y, alone),
        "guards": untouched(memory) and untouched(normed_memory) and untouched(alone_memory),
    }


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with torch.no_grad():
        for size, batch, dtype in itertools.product(SIZES, (1, 3), TYPES):
            print(json.dumps(case(size, batch, dtype)))  # noqa: T201  # what the test reads


main()
