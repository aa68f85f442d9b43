"""The kernel as a TensorRT plugin whose PTX goes into the engine, so that serving needs neither Python nor triton.

It is a quickly deployable plugin (`tensorrt.plugin`), `resnas::PooledResidual`: inputs x, class token, patches, table,
outputs y and the normed y, shapes as in `reference.pooled_residual` with a leading 1 on the table. A network with it is
created with the flag `PREFER_AOT_PYTHON_PLUGINS`, and only the batch may be dynamic.

It has not run on a device, nor in TensorRT: its functions were called through the Python half of the bindings, and the
PTX was assembled. Types are not deferred in this file (no `from __future__ import annotations`), because TensorRT reads
the annotations of these functions as they are.
"""

import tensorrt.plugin as trtp

from resnas_deploy.errors import BadInput
from resnas_deploy.kernels.ptx import compile_kernel
from resnas_deploy.kernels.shape import ReductionShape

PLUGIN = "resnas::PooledResidual"
_PRECISIONS = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16"}  # by the names of tensorrt.DataType
_TENSORS = 6  # inputs and outputs

Description = tuple[trtp.TensorDesc, trtp.TensorDesc]
Kernel = tuple[str, str, trtp.KernelLaunchParams, trtp.SymIntExprs]


def register(capability: int, lazy: bool = False) -> None:
    """Register the plugin for GPUs of one compute capability (`90` is 9.0), which must be the builder's own.

    With `lazy`, TensorRT's registry has it from its first use in a network, and a parser does not find it before.
    Once a process: TensorRT raises `ValueError` for a second time.
    """

    def kernel(
        x: trtp.TensorDesc,
        class_token: trtp.TensorDesc,
        patches: trtp.TensorDesc,
        table: trtp.TensorDesc,
        outputs: Description,
        tactic: int,
    ) -> Kernel:
        shape = shape_of(tuple(x.shape), tuple(table.shape))
        # Pointers are not taken for aligned: TensorRT may put a tensor inside another.
        compiled = compile_kernel(shape, _PRECISIONS[x.dtype.name], capability)
        launch = trtp.KernelLaunchParams(
            grid_x=x.shape_expr[0] * shape.out_tokens, block_x=compiled.threads, shared_mem=compiled.shared
        )
        return compiled.name, compiled.ptx, launch, trtp.SymIntExprs(0)

    trtp.register(PLUGIN, lazy_register=lazy)(describe)
    trtp.autotune(PLUGIN)(combinations)
    trtp.aot_impl(PLUGIN)(kernel)


def describe(
    x: trtp.TensorDesc, class_token: trtp.TensorDesc, patches: trtp.TensorDesc, table: trtp.TensorDesc
) -> Description:
    """What TensorRT asks for: shapes and types of the outputs."""
    out = (x.shape_expr[0], table.shape_expr[1], table.shape_expr[2])
    return trtp.from_shape_expr(out, x.dtype), trtp.from_shape_expr(out, x.dtype)


def combinations(
    x: trtp.TensorDesc,
    class_token: trtp.TensorDesc,
    patches: trtp.TensorDesc,
    table: trtp.TensorDesc,
    outputs: Description,
) -> list[trtp.AutoTuneCombination]:
    """What TensorRT asks for: types and layouts that the kernel takes, the same for all tensors."""
    return [trtp.AutoTuneCombination(", ".join(["FP32|FP16|BF16"] * _TENSORS), "LINEAR")]


def shape_of(x: tuple[int, ...], table: tuple[int, ...]) -> ReductionShape:
    """The reduction of tokens `(B, 1 + N, C)` with a table `(1, 1 + N/4, C')`; a batch of -1 is a dynamic one.

    Raises `BadInput` where another dimension is dynamic, or the two do not go together.
    """
    side = round(max(x[1] - 1, 0) ** 0.5)
    shape = ReductionShape(side, x[2], table[2])
    if (x[1], *table[:2]) != (shape.tokens, 1, shape.out_tokens):
        raise BadInput(
            f"the tokens and the table of {PLUGIN} must be (B, 1 + N, C) and (1, 1 + N/4, C'), N a square and all but "
            f"B fixed, found {x} and {table}"
        )
    return shape
