"""The kernel itself, in Triton's interpreter, and what it is compiled to for GPUs that are not here."""

from __future__ import annotations

import json
import re

import pytest
from support.checks import refusal

from resnas_deploy.arch.elements import NORM_EPS
from resnas_deploy.network.operator import ReductionShape

SHAPE = ReductionShape(8, 20, 36)
WIDE = ReductionShape(16, 220, 440)


def test_the_interpreted_kernel_is_the_module(program):
    """Errors and tolerances are in the output: of four rounded terms, and for the norm what it makes of them."""
    cases = [json.loads(line) for line in program("interpreted.py").splitlines()]
    assert len(cases) == 42
    for case in cases:
        assert case["y"] <= case["y_within"], case
        assert case["normed"] <= case["normed_within"], case
        assert case["same_without_norm"], case
        assert case["guards"], case
    exact = [case for case in cases if "float32" in case["case"]]
    assert max(case["y_within"] for case in exact) < 1e-4  # else the tolerance would hide a mistake
    assert max(case["normed_within"] for case in exact) < 1e-4


def test_shapes():
    assert (SHAPE.tokens, SHAPE.out_tokens, SHAPE.block, SHAPE.warps) == (65, 17, 64, 1)
    assert (WIDE.block, WIDE.warps) == (512, 2)
    assert [ReductionShape(2, 1, width).block for width in (1, 2, 3, 64, 65)] == [1, 2, 4, 64, 128]
    assert ReductionShape(2, 1, 5000).warps == 8
    assert SHAPE.constants(True) == {
        "SIDE": 8,
        "WIDTH": 20,
        "OUT_WIDTH": 36,
        "BLOCK": 64,
        "WITH_NORM": True,
        "EPS": NORM_EPS,
    }
    assert [ReductionShape(side, 8, 8).out_tokens for side in (1, 2, 7)] == [2, 2, 17]
    assert "at least 1, found 0" in refusal(lambda: ReductionShape(0, 8, 8))
    assert "not shrink, found 9 to 8" in refusal(lambda: ReductionShape(8, 9, 8))


def compiled(precision, capability, with_norm=True):
    """The kernel as triton compiles it, and its own ptxas assembles it, for a GPU that need not be here."""
    from triton import compile as compile_for
    from triton import knobs
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from resnas_deploy.network.kernel import pooled_residual_kernel as kernel

    try:
        _ = knobs.nvidia.ptxas.path, knobs.nvidia.ptxas_blackwell.path
    except RuntimeError as error:
        pytest.skip(f"triton has no ptxas here: {error}")
    constants = {**WIDE.constants(with_norm), **({} if with_norm else {"normed": None})}
    kind = {"fp32": "*fp32", "fp16": "*fp16", "bf16": "*bf16"}[precision]
    signature = {name: "constexpr" if name in constants else kind for name in kernel.arg_names}
    options = {"num_warps": WIDE.warps, "enable_fp_fusion": True}
    return compile_for(
        ASTSource(kernel, signature, constants), target=GPUTarget("cuda", capability, 32), options=options
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("capability", [80, 86, 89, 90, 120])  # A100, A10, L4, H100, RTX 50
def test_it_compiles_and_assembles_for_each_gpu(capability, precision):
    found = compiled(precision, capability)
    target = re.search(r"^\.target (sm_\d+a?)$", found.asm["ptx"], re.MULTILINE)[1]
    assert target == f"sm_{capability}" + "a" * (capability >= 90)
    assert re.findall(r"\.visible \.entry (\w+)\(", found.asm["ptx"]) == ["pooled_residual_kernel"]
    assert found.metadata.num_warps == 2
    assert found.metadata.shared > 0  # two warps share the sums of a norm
    assert found.asm["cubin"].startswith(b"\x7fELF")


def test_without_a_norm_nothing_of_one_is_computed():
    assert "rsqrt" in compiled("fp16", 80).asm["ptx"]
    alone = compiled("fp16", 80, with_norm=False)
    assert "rsqrt" not in alone.asm["ptx"]
    assert alone.metadata.shared == 0
