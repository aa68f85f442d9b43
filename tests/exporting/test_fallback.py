"""Which elements go back to higher precision: exactly those that spoil the graph, and what is said where none helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import inliner
from support.checks import refusal
from support.networks import arch_specs
from support.small_export import SMALL, request

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.artifact.manifest import Verification
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import VerificationFailed
from resnas_deploy.exporting.export import export, failed_name
from resnas_deploy.exporting.fallback import FallingBack
from resnas_deploy.exporting.quantise import quantise
from resnas_deploy.exporting.scheme import fused_attention, known_units, scheme_for, unit_of, units_named
from resnas_deploy.exporting.unchanged import unchanged
from resnas_deploy.exporting.unquantised import Unquantised
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import FOR_RUNTIMES, FOR_TENSORRT
from resnas_deploy.precision import precision_named
from resnas_deploy.progress import silent
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.weights.checkpoint import untrained

HALF = ["stage1.block2.attention", "stage1.block1.mlp", "stage2.block1.mlp"]
MANY = tuple(known_units(SMALL))
PAIR = ("QuantizeLinear", "DequantizeLinear")


def spoiled(*units):
    """A network that computes what it did, of which one channel in each unit is so large that no step suits the others.

    A value's channel is multiplied and its column of the projection divided; a hidden channel that nobody reads is big.
    """
    checkpoint = untrained(SMALL)
    tensors = {name: np.array(tensor) for name, tensor in checkpoint.tensors.items()}
    for unit in units:
        block = unit.rpartition(".")[0]
        if unit.endswith("attention"):
            first_value = 2 * tensors[f"{unit}.qkv.weight"].shape[0] // 3
            tensors[f"{unit}.qkv.weight"][first_value] *= 1e5
            tensors[f"{unit}.projection.weight"][:, 0] /= 1e5
            tensors[f"{unit}.projection.weight"][:, 1:] *= 20
        else:
            tensors[f"{block}.mlp.fc1.bias"][0] = 1e5
            tensors[f"{block}.mlp.fc2.weight"][:, 0] = 0
            tensors[f"{block}.mlp.fc2.weight"][:, 1:] *= 20
    return replace(checkpoint, tensors=tensors)


def exported(tmp_path, checkpoint, said=silent, **changes):
    wanted = request(tmp_path, **{"precision": "int8", "calibration_images": 8, "threads": 1} | changes)
    return export(lambda: checkpoint, wanted, said)


def quantised_units(path):
    """The units of the nodes that read dequantised values."""
    graph = onnx.load(path).graph
    dequantised = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Conv")]
    return {unit_of(node.name) for node in products if dequantised & set(node.input)}


@pytest.mark.parametrize("unit", [*HALF[:1], *(pytest.param(unit, marks=pytest.mark.slow) for unit in HALF[1:])])
def test_exactly_the_spoiled_half_is_kept(tmp_path, unit):
    checkpoint, told = spoiled(unit), []
    with pytest.raises(VerificationFailed, match="must compute what the module computes"):
        exported(tmp_path, checkpoint, fallback_minutes=0)
    assert not list(tmp_path.iterdir())
    found = exported(tmp_path, checkpoint, told.append)
    manifest = open_artifact(found.folder).manifest
    assert manifest.kept == manifest.fell_back == (unit,)
    assert manifest.quantisation["fell_back"] == [unit]
    assert manifest.verification.passed
    assert quantised_units(found.model) == set(MANY) - {unit}
    assert any(text == f"1 of {len(MANY)} elements kept in fp32: quantising without {unit}" for text in told)
    again = request(tmp_path, precision="int8", calibration_images=8, threads=1)
    assert unchanged(lambda: checkpoint, again, silent).manifest == manifest
    assert unchanged(lambda: checkpoint, replace(again, fallback_minutes=0), silent) is None
    named = exported(tmp_path / "named", checkpoint, keep=(unit,))
    assert named.model.read_bytes() == found.model.read_bytes()
    assert named.manifest.kept == (unit,)
    assert not named.manifest.fell_back


@pytest.mark.slow
def test_of_several_as_many_as_it_takes_and_the_same_every_time(tmp_path):
    units = {"stage1.block1.mlp", "stage2.block1.mlp", "stage1.block2.attention"}
    first, second = (exported(tmp_path / name, spoiled(*units)) for name in ("a", "b"))
    assert units <= set(first.manifest.fell_back)
    assert len(first.manifest.fell_back) == 3, "four were tried, and three are enough"
    assert first.model.read_bytes() == second.model.read_bytes()
    assert first.manifest == second.manifest


def test_where_half_of_them_is_not_enough_nothing_is_left_but_a_line(tmp_path):
    blocks = [unit for unit in MANY if unit.endswith(("mlp", "attention")) and not unit.startswith("stage3")]
    with pytest.raises(VerificationFailed) as caught:
        exported(tmp_path, spoiled(*blocks), keep_failed=True)
    message = str(caught.value)
    assert "\n" not in message
    assert f"(the most that may be, {len(MANY) // 2} of {len(MANY)}); export with `precision` fp32" in message
    assert message.startswith("the graph must compute what the module computes, found error ")
    kept = open_artifact(failed_name(tmp_path / "out"))
    assert kept.manifest.verification == caught.value.report
    assert not kept.manifest.kept, "it is the graph that was asked for"
    assert quantised_units(kept.model) == set(MANY)


def test_it_ends_when_the_time_is_up(tmp_path):
    artifact = exported(tmp_path, untrained(SMALL), verify_on=None)
    plain = tmp_path / "plain.onnx"
    emit(untrained(SMALL), precision_named("fp32"), BatchRange(1, 8), spelling=FOR_RUNTIMES).write(plain)
    nodes = inliner.inline_local_functions(onnx.load(plain)).graph.node
    ranges = dict.fromkeys(["images", *(output for node in nodes for output in node.output)], (-1.0, 1.0))
    tried, now = [], iter(range(0, 600, 50))
    failed = VerificationFailed("it is wrong", Verification("a", "b", 0.1, 0.5, (1,), 1, (), 1, 0))

    def verify(of, _told):
        tried.append(of.manifest.fell_back)
        raise failed

    made_of = Unquantised(plain, plain, ranges, scheme_for("int8", engine=False))
    search = FallingBack(made_of, verify, RUNNERS["ort-cpu"], 1, 1.5, silent, clock=lambda: next(now))
    with pytest.raises(VerificationFailed, match=r"^it is wrong; nor was it enough to keep .* \(within 1\.5 minutes\)"):
        search.find(artifact, failed)
    assert [len(units) for units in tried] == [1, 2]


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("stage9.block1", "`keep` must name elements of the network, a stage, or a block's attention or mlp"),
        ("", "`keep` must name elements of the network"),
        ("head", "`keep` must name elements of the network"),
    ],
)
def test_what_is_no_element_is_refused(tmp_path, keep, expected):
    assert expected in refusal(lambda: exported(tmp_path, untrained(SMALL), keep=(keep,), verify_on=None))
    assert not list(tmp_path.iterdir())


def test_what_is_not_quantised_anyway_is_refused_and_so_is_all(tmp_path):
    engine = {"for_engine": True, "verify_on": None}
    message = refusal(lambda: exported(tmp_path, untrained(SMALL), keep=("stem",), **engine))
    assert "must name elements that would be quantised, found stem" in message
    message = refusal(lambda: exported(tmp_path, untrained(SMALL), keep=MANY, verify_on=None))
    assert "must leave something to quantise, found all of it kept; use `precision` fp32" in message
    message = refusal(lambda: request(tmp_path, keep=("stem",)))
    assert "`keep` must come with int8 or fp8" in message


def test_a_block_has_two_halves_and_a_stage_its_blocks():
    halves = ("stage1.block2.attention", "stage1.block2.mlp")
    assert units_named(["stage1"], SMALL) == tuple(unit for unit in MANY if unit.startswith("stage1."))
    assert units_named(["stage1.block2"], SMALL) == units_named(halves[::-1], SMALL) == halves


@settings(max_examples=6, deadline=None, phases=(Phase.generate,), suppress_health_check=[HealthCheck.too_slow])
@given(arch=arch_specs(), kind=st.sampled_from([("int8", False), ("int8", True), ("fp8", True)]))
def test_with_everything_kept_the_graph_is_the_unquantised_one(tmp_path_factory, arch, kind):
    path = tmp_path_factory.mktemp("kept") / "model.onnx"
    scheme = replace(scheme_for(*kind), kept=tuple(known_units(arch)))
    scheme = replace(scheme, attention=fused_attention(arch, kind[0]) if kind[1] else ())
    spelling = FOR_TENSORRT if kind[1] else FOR_RUNTIMES
    emit(untrained(arch), precision_named(scheme.around), BatchRange(1, 4), spelling=spelling).write(path)
    before = inliner.inline_local_functions(onnx.load(path))
    quantise(path, None, scheme)
    assert onnx.load(path).SerializeToString(deterministic=True) == before.SerializeToString(deterministic=True)
