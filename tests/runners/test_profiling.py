"""Whose element an operation of a profile is, whatever the runtime calls it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.networks import arch_specs
from support.small_export import SMALL

from resnas_deploy.arch.elements import elements
from resnas_deploy.runners.profiling import attributed, element_operation, summed

NAMES = [element.name for element in elements(SMALL)]
own = st.text("abcXYZ_/", min_size=1, max_size=8)


def test_what_onnx_runtime_calls_the_nodes_of_a_reduction():
    ran = [
        "stage1.block2.mlp.add",
        "_inlfunc_ResidualReduction_normed",
        "ReorderInput",
        "_inlfunc_ResidualReduction_conv_nchwc",
        "stage2.block1.norm1",
        "_inlfunc_ResidualReduction_token_0_normed",
        "_inlfunc_ResidualReduction_token_0_normed_patches/GatherSliceToSplitFusion",
    ]
    assert list(attributed(ran)) == [
        "stage1.block2.mlp.add",
        "reduction1.normed",
        "reduction1.normed+ReorderInput",
        "reduction1.conv_nchwc",
        "stage2.block1.norm1",
        "reduction2.normed",
        "reduction2.normed_patches/GatherSliceToSplitFusion",
    ]


def test_what_the_runtime_fused_or_converted():
    ran = ["stage3.block12.mlp.fc1.matmul", "BiasGelu_token_4", "Sqrt_280", "InsertedPrecisionFreeCast_stem.patches"]
    assert list(attributed(ran)) == [
        "stage3.block12.mlp.fc1.matmul",
        "stage3.block12.mlp.fc1.matmul+BiasGelu_token_4",
        "stage3.block12.mlp.fc1.matmul+Sqrt_280",
        "stem.patches",
    ]


@pytest.mark.parametrize(
    "name", ["header", "stems.conv", "stage1", "xstem.conv", "reduction", "stage1.blocks.2", "", "blocks.1.norm"]
)
def test_names_of_no_element(name):
    assert element_operation(name) is None
    assert list(attributed([name, "stem", name])) == [name, "stem", f"stem+{name}"]


@given(arch_specs(), st.data())
def test_every_element_has_its_own(arch, data):
    for element in elements(arch):
        before, after = data.draw(st.sampled_from(["", "images_acdb_", "Cast_"])), data.draw(own)
        assert element_operation(f"{before}{element.name}.{after}") == f"{element.name}.{after}"
        assert element_operation(before + element.name) == element.name
    assert element_operation("logits") == "head"  # the head's last node writes the graph's output


@given(st.lists(st.tuples(st.sampled_from([*NAMES, "Cast_1", "MVN"]), st.floats(0, 1)), max_size=30))
def test_no_time_is_lost(operations):
    for ours in (True, False):
        total = summed(operations, ours=ours)
        assert sum(total.values()) == pytest.approx(sum(seconds for _, seconds in operations))
    assert set(total) == {name for name, _ in operations}  # names of a foreign network are left alone
