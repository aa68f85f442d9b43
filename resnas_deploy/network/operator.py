"""The operator `resnas::pooled_residual`, which `torch.compile`, `torch.export` and AOTInductor see through."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor
from torch.library import triton_op, wrap_triton

from resnas_deploy.network import equation as reference
from resnas_deploy.network.kernel_shape import ReductionShape

NAME = "resnas::pooled_residual"


@functools.cache
def register() -> Any:
    """Register the operator, once a process, and return it. Imports triton.

    It takes and returns what `reference.pooled_residual` does. On CUDA it is the kernel, elsewhere the reference; both
    are visible to the compiler, and with a fake tensor either tells the shapes.
    """
    from resnas_deploy.network.kernel import launch, pooled_residual_kernel

    @triton_op(NAME, mutates_args=())
    def pooled_residual(
        x: Tensor, class_token: Tensor, patches: Tensor, table: Tensor, side: int, with_norm: bool
    ) -> list[Tensor]:
        if not x.is_cuda:
            return reference.pooled_residual(x, class_token, patches, table, side, with_norm)
        shape = ReductionShape(side, x.shape[-1], table.shape[-1])
        y = x.new_empty(x.shape[0], shape.out_tokens, shape.out_width)
        outputs = [y, y.new_empty(y.shape)] if with_norm else [y]
        inputs = (x.contiguous(), class_token.contiguous(), patches.contiguous(), table.contiguous())
        launch(wrap_triton(pooled_residual_kernel), shape, inputs, y, outputs[1] if with_norm else None)
        return outputs

    return pooled_residual
