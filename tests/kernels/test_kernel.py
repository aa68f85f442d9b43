"""The kernel itself, in Triton's interpreter, and what it is compiled to for GPUs that are not here."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from strategies import refusal

from resnas_deploy.elements import NORM_EPS
from resnas_deploy.kernels.ptx import CAPABILITIES, compile_kernel, without_scratch
from resnas_deploy.kernels.shape import ReductionShape

SHAPE = ReductionShape(8, 20, 36)
WIDE = ReductionShape(16, 220, 440)


def test_the_interpreted_kernel_is_the_module(program):
    """Errors and tolerances are in the output: of four rounded terms, and for the norm what it makes of them."""
    cases = [json.loads(line) for line in program("interpreted.py").splitlines()]
    assert len(cases) == 30
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
    assert "even and at least 2, found 7" in refusal(lambda: ReductionShape(7, 8, 8))
    assert "not shrink, found 9 to 8" in refusal(lambda: ReductionShape(8, 9, 8))


def assembler(capability):
    """Triton's own ptxas for that GPU, without which triton compiles nothing."""
    from triton import knobs

    tools = knobs.nvidia
    try:
        return (tools.ptxas if capability < 90 else tools.ptxas_blackwell).path
    except RuntimeError as error:
        pytest.skip(f"triton has no ptxas here: {error}")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_ptx_that_assembles_for_each_gpu(tmp_path, capability, precision):
    tool = assembler(capability)
    compiled = compile_kernel(WIDE, precision, capability)
    target = re.search(r"^\.target (sm_\d+a?)$", compiled.ptx, re.MULTILINE)[1]
    assert target == f"sm_{capability}" + "a" * (capability >= 90)
    assert re.findall(r"\.visible \.entry (\w+)\(", compiled.ptx) == [compiled.name] == ["pooled_residual_kernel"]
    assert (compiled.warps, compiled.threads) == (2, 64)
    assert compiled.shared > 0  # two warps share the sums of a norm
    assert f".reqntid {compiled.threads}" in compiled.ptx
    assert compiled.ptx.count(".param .u64") == 6  # four inputs, two outputs: no scratch, no sizes
    assert ".py" not in compiled.ptx  # no files of this machine
    source, binary = tmp_path / "kernel.ptx", tmp_path / "kernel.cubin"
    source.write_text(compiled.ptx)
    done = subprocess.run([tool, f"-arch={target}", source, "-o", binary], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert binary.read_bytes().startswith(b"\x7fELF")


def test_what_is_compiled_follows_the_options():
    assembler(80)
    plain, wide = compile_kernel(WIDE, "fp16", 80), compile_kernel(WIDE, "fp16", 80, aligned=True)
    assert ".v4.b32" not in plain.ptx
    assert ".v4.b32" in wide.ptx
    alone = compile_kernel(WIDE, "fp16", 80, with_norm=False)
    assert alone.ptx.count(".param .u64") == 5
    assert "rsqrt" not in alone.ptx
    assert "rsqrt" in plain.ptx
    assert alone.shared == 0
    assert "one of fp32, fp16, bf16, found 'int8'" in refusal(lambda: compile_kernel(SHAPE, "int8", 80))
    assert "one of 80, 86, 89, 90, 120, found 70" in refusal(lambda: compile_kernel(SHAPE, "fp16", 70))


def test_scratch_that_is_used_is_not_left_out():
    head = ".visible .entry k(\n\t.param .u64 k_param_0,\n\t.param .u64 .ptr k_param_1\n)\n{ "
    kept = ".visible .entry k(\n\t.param .u64 k_param_0\n)\n{ ld [k_param_0]; }"
    assert without_scratch(head + "ld [k_param_0]; }", 1) == kept
    with pytest.raises(ValueError, match="reads k_param_1"):
        without_scratch(head + "ld [k_param_1]; }", 1)
    with pytest.raises(ValueError, match="found none"):
        without_scratch("nothing", 1)
