"""What published networks become: kernels, precisions, fused attention, counted in real engines."""

from __future__ import annotations

import pytest
from support.little_engine import built, exported, needs_builder

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import BatchRange
from resnas_deploy.graph.spelling import FOR_TENSORRT, SPELLINGS

pytestmark = needs_builder
QUICK = [("tiny", "fp16")]
KERNELS = {  # at most; what 1.7.1 makes
    "tiny": {"fp16": 140, "int8": 171, "fp8": 157},
    "small": {"fp16": 148, "int8": 181, "fp8": 166},
    "medium": {"fp16": 172, "int8": 211, "fp8": 193},
}
CASES = [(name, precision) for name, counts in KERNELS.items() for precision in counts]


def layers_of(folder, name, precision, spelling=FOR_TENSORRT):
    artifact = exported(
        folder / spelling.name,
        arch=PUBLISHED[name].arch,
        precision=precision,
        spelling=spelling,
        batch=BatchRange(1, 64),
    )
    return built(artifact).engine.report["layers"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"), [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]
)
def test_a_published_network(tmp_path, name, precision):
    found = layers_of(tmp_path, name, precision)
    assert found["fallbacks"] == []
    parts = {kind: [part for part in found["parts"] if part["kind"] == kind] for kind in ("block", "reduction")}
    assert len(parts["block"]) == sum(len(stage.blocks) for stage in PUBLISHED[name].arch.stages)
    assert all(part["fused_attention"] for part in parts["block"])
    wanted = ["fp16"] if precision == "fp16" else ["fp16", precision]
    assert all(part["precisions"] == wanted for part in parts["block"])
    assert max(part["kernels"] for part in parts["reduction"]) <= 4
    assert found["kernels"] <= KERNELS[name][precision]


@pytest.mark.slow
def test_the_spellings_in_order(tmp_path):
    """Small in fp16: the choice for TensorRT has the fewest kernels, what is best on CPUs the most."""
    kernels = {name: layers_of(tmp_path, "small", "fp16", spelling)["kernels"] for name, spelling in SPELLINGS.items()}
    most_packed = kernels["packed+views"]
    assert kernels["packed+grid"] < most_packed
    assert most_packed < min(kernels["operator+views"], kernels["operator+grid"])
