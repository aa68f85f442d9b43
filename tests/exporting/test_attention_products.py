"""Attention in low precision: both products read dequantised values, in the blocks where a builder keeps one kernel."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from support.checks import refusal
from support.little_engine import built, exported, needs_builder
from support.networks import arch_specs
from support.small_export import SMALL, request

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.quantise import quantise
from resnas_deploy.exporting.scheme import fused_attention, scheme_for
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import FOR_TENSORRT
from resnas_deploy.precision import precision_named
from resnas_deploy.progress import silent
from resnas_deploy.weights.checkpoint import untrained

STEPS = {"fp8": np.float16(1 / 448), "int8": np.float16(1 / 127)}
TYPES = {"fp8": onnx.TensorProto.FLOAT8E4M3FN, "int8": onnx.TensorProto.INT8}


def graph_of(path, arch, precision, ranges=None):
    """The quantised graph of an engine, with both products of attention in all blocks that stay one kernel."""
    scheme = replace(scheme_for(precision, engine=True), attention=fused_attention(arch, precision))
    emit(untrained(arch), precision_named(scheme.around), BatchRange(1, 4), spelling=FOR_TENSORRT).write(path)
    quantise(path, ranges, scheme)
    return onnx.load(path).graph


def arch_of(image_size, *head_dims):
    return ArchSpec(tuple(Stage(24, (Block(2, d, 24), Block(3, d, 24))) for d in head_dims), 5, image_size)


@pytest.mark.parametrize(
    ("precision", "arch", "stages"),
    [  # tokens: 257, 65, 17 at 224; 577, 145, 37 at 336; 401, 101, 26 at 280
        ("fp8", arch_of(224, 32, 48, 64), "12"),
        ("fp8", arch_of(280, 32, 48, 64), "12"),
        ("fp8", arch_of(336, 32, 48, 64), "123"),
        ("fp8", arch_of(336, 8, 12, 16), "3"),
        ("fp8", arch_of(336, 256, 264, 64), "13"),
        ("int8", arch_of(224, 32, 48, 64), "13"),
        ("int8", arch_of(336, 32, 48, 64), "3"),
        ("int8", arch_of(224, 16, 24, 128), "1"),
    ],
)
def test_the_blocks_where_it_stays_one_kernel(precision, arch, stages):
    blocks = {f"stage{stage}.block{number}" for stage in stages for number in (1, 2)} - {"stage3.block2"}
    assert set(fused_attention(arch, precision)) == blocks, "the last block asks for one row"


@settings(max_examples=6, deadline=None, phases=(Phase.generate,), suppress_health_check=[HealthCheck.too_slow])
@given(arch=arch_specs(), precision=st.sampled_from(sorted(STEPS)))
def test_every_operand_comes_through_its_type(tmp_path_factory, arch, precision):
    _check(graph_of(tmp_path_factory.mktemp("any") / "model.onnx", arch, precision), arch, precision)


@pytest.mark.parametrize("precision", sorted(STEPS))
def test_the_operands_of_a_network_that_has_such_blocks(tmp_path, precision):
    arch = arch_of(112, 32, 32, 16)
    assert _check(graph_of(tmp_path / "model.onnx", arch, precision), arch, precision)


def _check(graph, arch, precision):
    """Return how many products of attention are quantised."""
    values = {tensor.name: tensor for tensor in graph.initializer}
    made = {node.output[0]: node for node in graph.node}
    blocks, count = fused_attention(arch, precision), 0
    for node in graph.node:
        if not node.name.endswith((".attention.scores", ".attention.weighted")):
            continue
        after = [made[name].op_type == "DequantizeLinear" for name in node.input]
        assert after == [node.name.rpartition(".attention.")[0] in blocks] * 2, node.name
        if not after[0]:
            continue
        count += 1
        for name in node.input:
            pair = made[made[name].input[0]], made[name]
            assert [item.op_type for item in pair] == ["QuantizeLinear", "DequantizeLinear"]
            assert pair[0].input[1:] == pair[1].input[1:]
            assert values[pair[0].input[1]].data_type == onnx.TensorProto.FLOAT16
            assert not values[pair[0].input[1]].dims, "one step for the whole tensor"
            assert values[pair[0].input[2]].data_type == TYPES[precision]
        if node.name.endswith(".weighted"):
            step = numpy_helper.to_array(values[made[node.input[0]].input[1]])
            assert made[made[made[node.input[0]].input[0]].input[0]].op_type == "Softmax"
            assert step == STEPS[precision]
    assert count == 2 * len(blocks)
    return count


@pytest.mark.parametrize("precision", sorted(STEPS))
def test_onnx_runtime_computes_it_of_rounded_values(tmp_path, precision):
    """The first block's weighted sum, against NumPy on the values that the graph has before they are rounded."""
    arch, path, block = arch_of(112, 16, 16, 16), tmp_path / "model.onnx", "stage1.block1.attention"
    wanted = request(
        tmp_path, precision=precision, for_engine=True, calibration_images=4, verify_on=None, attention=True
    )
    artifact = export(lambda: untrained(arch), wanted, silent)
    assert artifact.manifest.quantisation["attention"]["blocks"] == list(fused_attention(arch, precision))
    graph = onnx.load(artifact.model)
    operands = {"q": "split.query.squeezed", "k": "key.transposed", "v": "split.value.squeezed", "out": "weighted"}
    names = {key: f"{block}.{name}" for key, name in operands.items()}
    for name in names.values():
        graph.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT16, None))
    onnx.save(graph, path)
    images = np.random.default_rng(0).standard_normal((2, 3, 112, 112), dtype=np.float32)
    options = ort.SessionOptions()  # it would fuse across what is asked for here
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    found = dict(zip(names, session.run(list(names.values()), {"images": images}), strict=True))
    steps = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer if "_scale" in tensor.name
    }

    def rounded(values, step):
        quotient = values.astype(np.float32) / np.float32(step)
        if precision == "fp8":
            return np.clip(quotient, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(np.float32) * np.float32(step)
        return np.clip(np.rint(quotient), -128, 127) * np.float32(step)

    q, k, v = (rounded(found[key], steps[f"{names[key]}_scale"]) for key in "qkv")
    scores = q @ k
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights = rounded(weights / weights.sum(-1, keepdims=True), STEPS[precision])
    difference = np.abs(weights @ v - found["out"]).mean() / np.abs(found["out"]).mean()
    assert difference < 0.01, "what lies at the middle of two steps goes either way"
    plain = np.exp(found["q"].astype(np.float32) @ found["k"].astype(np.float32))
    plain = (plain / plain.sum(-1, keepdims=True)) @ found["v"].astype(np.float32)
    assert np.abs(plain - found["out"]).mean() / np.abs(found["out"]).mean() > 2 * difference


def test_what_is_usual_and_what_is_asked_for(tmp_path):
    """In fp8 the products are quantised, in int8 only if somebody asks for it, and on CPUs never."""
    arch = PUBLISHED["tiny"].arch
    engine = {"for_engine": True, "verify_on": None}
    for changes, blocks in (
        ({"precision": "fp8", **engine}, 11),
        ({"precision": "fp8", **engine, "attention": False}, 0),
        ({"precision": "int8", **engine}, 0),
        ({"precision": "int8", **engine, "attention": True}, 9),
        ({"precision": "fp8", "verify_on": None}, 0),
        ({"precision": "int8", "verify_on": None}, 0),
    ):
        scheme = request(tmp_path, **changes).scheme(arch)
        assert len(scheme.attention) == blocks, changes
        assert ("attention" in scheme.to_json()) == bool(blocks)
    message = refusal(lambda: request(tmp_path, precision="int8", attention=True))
    assert "`attention` must come with a `target` of TensorRT" in message
    message = refusal(lambda: request(tmp_path, attention=False))
    assert "`attention` must come with int8 or fp8, found `precision` fp32" in message
    asked = request(tmp_path, precision="fp8", attention=True, **engine)
    assert "no builder makes one kernel of it in fp8" in refusal(lambda: asked.scheme(SMALL))


@pytest.mark.slow
@needs_builder
@pytest.mark.parametrize("precision", ["fp8", pytest.param("int8", marks=pytest.mark.slow)])
def test_the_builder_makes_one_kernel_of_it(tmp_path, precision):
    """As many kernels as with fp16 products, and in the first stage the attention's own reads the precision."""
    arch, found = arch_of(112, 32, 16, 64), {}
    assert fused_attention(arch, precision)
    for attention in (False, True):
        artifact = exported(tmp_path / str(attention), arch=arch, precision=precision, attention=attention)
        found[attention] = built(artifact).engine.report["layers"]
        assert not found[attention]["fallbacks"]
        assert all(part["fused_attention"] for part in found[attention]["parts"] if part["kind"] == "block")
    assert found[True]["kernels"] <= found[False]["kernels"]
    assert found[True]["precisions"]["fp16"] < found[False]["precisions"]["fp16"]
