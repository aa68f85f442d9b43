"""The kernel compiled ahead of time to PTX, for GPUs that need not be here. Needs triton and neither torch nor CUDA."""

from __future__ import annotations

import re
from dataclasses import dataclass

from resnas_deploy.errors import BadInput, NotAvailable, shown
from resnas_deploy.kernels.shape import ReductionShape

CAPABILITIES = (80, 86, 89, 90, 120)  # that the PTX is assembled for in tests: A100, A10, L4, H100, RTX 50
PTX_VERSION = 87  # of CUDA 12.8, the first that knows capability 120: older drivers refuse it, newer ones take it
_TYPES = {"fp32": "*fp32", "fp16": "*fp16", "bf16": "*bf16"}
_WARP = 32  # threads
_ENTRY = re.compile(r"(\.visible \.entry \w+\()(.*?)(\n\))", re.DOTALL)
_COMMENT = re.compile(r"[ \t]*//.*")


@dataclass(frozen=True)
class CompiledKernel:
    """A kernel that is launched with one block of `threads` for each output token of each image, and nothing else.

    Its parameters are pointers: x, class token, patches, table, then y and, with a norm, the normed y.
    """

    name: str  # of the entry in the PTX
    ptx: str
    warps: int
    shared: int  # bytes of dynamic shared memory a block

    @property
    def threads(self) -> int:
        """Of one block."""
        return self.warps * _WARP


def compile_kernel(
    shape: ReductionShape, precision: str, capability: int, with_norm: bool = True, aligned: bool = False
) -> CompiledKernel:
    """Compile for one precision (`fp32`, `fp16`, `bf16`) and compute capability (`90` is 9.0), with no GPU.

    PTX for 90 and 120 is for those chips alone (`sm_90a`, `sm_120a`). With `aligned`, every pointer must be a multiple
    of 16 bytes, and accesses are wider. Raises `BadInput` for another precision or capability, `NotAvailable` without
    triton.
    """
    if precision not in _TYPES:
        raise BadInput(f"the precision of a kernel must be one of {', '.join(_TYPES)}, found {shown(precision)}")
    if capability not in CAPABILITIES:
        known = ", ".join(map(str, CAPABILITIES))
        raise BadInput(f"the compute capability of a kernel must be one of {known}, found {capability}")
    try:
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
    except ImportError as error:
        raise NotAvailable("kernels are compiled by triton, which is not installed", "pip install triton") from error
    from resnas_deploy.kernels.pooled_residual import pooled_residual_kernel as kernel

    absent: dict[str, None] = {} if with_norm else {"normed": None}
    constants = {**shape.constants(with_norm), **absent}
    pointers = [name for name in kernel.arg_names if name not in constants]
    signature = {name: _TYPES[precision] if name in pointers else "constexpr" for name in kernel.arg_names}
    divisible = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in pointers} if aligned else {}
    with triton.knobs.compilation.scope():
        triton.knobs.compilation.disable_line_info = True  # which names files of this machine
        compiled = triton.compile(
            ASTSource(kernel, signature, constants, divisible),
            target=GPUTarget("cuda", capability, _WARP),
            options={"num_warps": shape.warps, "ptx_version": PTX_VERSION, "enable_fp_fusion": True},
        )
    metadata = compiled.metadata
    ptx = without_scratch(compiled.asm["ptx"], len(pointers))
    return CompiledKernel(metadata.name, ptx, metadata.num_warps, metadata.shared)


def without_scratch(ptx: str, parameters: int) -> str:
    """The PTX with the first `parameters` of its entry alone, and no comments.

    Triton adds pointers to scratch memory behind its kernels' own parameters, and passes them when it launches. Whoever
    launches by the kernel's own list would let the driver read beyond it. Raises `ValueError` where the kernel uses
    them.
    """
    ptx = _COMMENT.sub("", ptx)
    found = _ENTRY.search(ptx)
    if found is None:
        raise ValueError("the PTX must have one entry, found none")
    declared = found[2].split(",")
    body = ptx[found.end() :]
    for extra in declared[parameters:]:
        name = extra.split()[-1]
        if re.search(rf"\b{re.escape(name)}\b", body):
            raise ValueError(f"the kernel must not use scratch memory, found that it reads {name}")
    return ptx[: found.start(2)] + ",".join(declared[:parameters]) + ptx[found.end(2) :]
