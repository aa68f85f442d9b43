"""int8 for OpenVINO alone: attention's products in int8, and the same function in the form that it is fastest with."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.checks import refusal
from support.places import DEMO
from support.small_export import SMALL, request

import resnas_deploy as resnas
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.artifact.graph import read_graph
from resnas_deploy.engines.build import build_engine
from resnas_deploy.engines.options import BuildOptions
from resnas_deploy.engines.targets import TARGETS
from resnas_deploy.exporting.arithmetic.check import compute_in_own_type
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.openvino_form import for_openvino
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.precision import relative_error
from resnas_deploy.progress import silent
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.serving.repository.contents import check_servable
from resnas_deploy.serving.repository.settings import ModelSettings
from resnas_deploy.weights.checkpoint import load, untrained

ATTENDING = 6  # blocks of the demo network but the last, whose queries are one row


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The trained demo network in fp32, in int8 for any runner, and for OpenVINO, of the same images; not verified."""
    folder = tmp_path_factory.mktemp("forms")
    wanted = request(folder, verify_on=None)
    int8 = {"precision": "int8", "calibration_images": 16}
    return {
        name: export(lambda: load(DEMO), replace(wanted, out=folder / name, **changes), silent)
        for name, changes in (("fp32", {}), ("qdq", int8), ("openvino", {**int8, "for_runner": "openvino"}))
    }


@pytest.fixture(scope="module")
def images(exported):
    return verification_inputs(exported["fp32"].manifest.preprocessing).images


def logits_on(artifact, images, runner="openvino", engine=None):
    with RUNNERS[runner].open(artifact, Options(1, engine=engine)) as opened:
        return opened.run(images)["logits"]


def graph_of(model):
    """Nodes by what they write, and constants, of a model."""
    writers = {name: node for node in model.graph.node for name in node.output}
    return writers, {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_both_products_of_attention_are_of_pairs(exported):
    """q, k and v symmetric int8, the softmax uint8 of zero point 0: what OpenVINO multiplies in int8."""
    model = read_graph(exported["openvino"])
    writers, constants = graph_of(model)
    products = [node for node in model.graph.node if node.name.endswith((".scores", ".weighted"))]
    assert len(products) == 2 * ATTENDING
    for product in products:
        types = []
        for value in product.input:
            while writers[value].op_type in ("Transpose", "Reshape"):
                value = writers[value].input[0]
            assert writers[value].op_type == "DequantizeLinear"
            zero = constants[writers[value].input[2]]
            assert not zero.any()
            types.append(str(zero.dtype))
        assert types == (["int8", "int8"] if product.name.endswith("scores") else ["uint8", "int8"])


def test_what_products_with_weights_read_has_no_zero_point(exported):
    """But it is still rounded about one: the difference is in the biases. Reductions' and the last
    block's values are read by others than products, too.
    """
    model = read_graph(exported["openvino"])
    writers, constants = graph_of(model)
    shifted = 0
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.name.endswith((".scores", ".weighted")) or "block1." not in node.name:
            continue
        value = node.input[0]
        while writers[value].op_type in ("Transpose", "Reshape"):
            value = writers[value].input[0]
        after = writers[value]
        assert not constants[after.input[2]].any(), node.name
        shifted += bool(constants[writers[after.input[0]].input[2]].any())
    assert shifted >= 12  # of three blocks: query, key, value, fc1, and more


def test_values_are_rounded_where_they_are_computed(exported):
    """No pair behind an operator that only moves data, and none between a convolution and ReLU."""
    model = read_graph(exported["openvino"])
    writers, _ = graph_of(model)
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in writers:
            assert writers[node.input[0]].op_type not in ("Transpose", "Reshape")
        if node.op_type == "Relu":
            assert writers[node.input[0]].op_type == "Conv"


def test_openvino_really_multiplies_attention_in_int8(exported):
    """By its own account of what it runs: what q, k and v are computed by writes int8, whatever the CPU has."""
    from resnas_deploy.runners.devices import openvino_core
    from resnas_deploy.runners.openvino_model import read

    def written(name):
        found = openvino_core().compile_model(read(exported[name].graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        types = Counter()
        for operation in found.get_runtime_model().get_ordered_ops():
            told = operation.get_rt_info()
            keys = ("layerType", "originalLayersNames", "outputPrecisions")
            layer, merged, kind = (str(told[key].astype(str)) for key in keys)
            for part in ("query", "key", "value"):
                if layer == "FullyConnected" and f"attention.{part}.matmul" in merged:
                    types[part, kind] += 1
        return types

    known = written("openvino")
    for part in ("query", "key", "value"):
        assert known[part, "i8"] == ATTENDING, known
    assert not any(kind == "i8" for _, kind in written("qdq"))


def test_the_logits_are_as_near_as_without(exported, images):
    """Against float32, on OpenVINO: the tolerance is twice the error of int8 that leaves attention in float32.

    Two more products are rounded in each block, of eight or so that were already: what they add must stay below what
    was there.
    """
    wanted = logits_on(exported["fp32"], images)
    usual, found = (relative_error(logits_on(exported[name], images), wanted) for name in ("qdq", "openvino"))
    assert found <= 2 * usual, f"error {found:.1e}, tolerance {2 * usual:.1e}"


def test_its_own_arithmetic_is_known(exported, images):
    """What OpenVINO computes is what the graph says: it is as near to it as to the pairs that any runtime takes."""
    errors = [
        relative_error(compute_in_own_type(exported[name], images).logits, logits_on(exported[name], images))
        for name in ("qdq", "openvino")
    ]
    assert errors[1] <= max(2 * errors[0], 2e-2)


def test_the_manifest_says_it(exported):
    qdq, own = (exported[name].manifest for name in ("qdq", "openvino"))
    assert own.label == "test int8 32 for openvino (UNVERIFIED)"
    assert own.for_runner == open_artifact(exported["openvino"].folder).for_runner == "openvino"
    assert len(own.quantisation["attention"]["blocks"]) == ATTENDING
    assert own.quantisation["zero_points"] == "multiplied out into the biases of the products"
    assert "softmax_step" not in own.quantisation["attention"]
    assert not {"attention", "zero_points"} & set(qdq.quantisation)
    assert "for_runner" not in json.loads(qdq.to_bytes())


def test_elements_may_be_kept(tmp_path):
    """Attention of a kept half stays the operator, and that of all where it is asked to be."""
    wanted = request(
        tmp_path, precision="int8", for_runner="openvino", calibration_images=4, verify_on=None, keep=("stage1.block1",)
    )
    part = export(lambda: untrained(SMALL), wanted, silent)
    none = export(lambda: untrained(SMALL), replace(wanted, out=tmp_path / "none", keep=(), attention=False), silent)
    operators = [node.name for node in read_graph(part).graph.node if node.op_type == "Attention"]
    assert operators == ["stage1.block1.attention", "stage3.block1.attention"]
    assert part.manifest.quantisation["attention"]["blocks"] == ["stage1.block2", "stage2.block1"]
    assert Counter(node.op_type for node in read_graph(none).graph.node)["Attention"] == 4
    assert "attention" not in none.manifest.quantisation


def test_others_refuse_it_by_name(exported):
    artifact = exported["openvino"]
    for name, kind in RUNNERS.items():
        if name not in ("openvino", "openvino-bf16"):
            message = refusal(lambda kind=kind: kind.check_opening(artifact, Options(1)))
            assert f"must be run by openvino, which its graph is written for, found the runner {name}" in message
    for target in TARGETS.values():
        if target.name != "openvino":
            message = refusal(lambda target=target: build_engine(artifact, target, BuildOptions(), silent))
            assert "written for openvino" in message
    message = refusal(lambda: check_servable(artifact, ModelSettings("net"), None))
    assert "must be run by OpenVINO" in message


@pytest.mark.slow
def test_the_target_is_written_so_too(tmp_path):
    """IR of int8 is of that graph, and verified as it."""
    made = resnas.export(
        checkpoint=DEMO, out=tmp_path / "out", precision="int8", target="openvino", calibration_images=16, batch="1:4"
    )
    assert made.manifest.for_runner == "openvino"
    assert made.manifest.verification.passed
    assert made.manifest.verification.runner.startswith("openvino")
    assert made.built.engine.made_of["target"] == "openvino"


@pytest.mark.parametrize("changes", [{"precision": "fp32"}, {"precision": "fp16"}, {"precision": "fp8"}], ids=str)
def test_only_int8_is_another_graph(tmp_path, changes):
    message = refusal(lambda: request(tmp_path, for_runner="openvino", verify_on=None, **changes))
    assert f"must come with `precision` int8, found {changes['precision']}" in message


def ran(model, images):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


def model_of(nodes, constants, shape, out):
    graph = helper.make_graph(
        nodes,
        "pairs",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


RNG = np.random.default_rng(0)
WEIGHTS = {
    "s": np.float32(0.03),
    "z": np.uint8(120),
    "w": RNG.integers(-127, 128, (24, 16)).astype(np.int8),
    "ws": np.linspace(0.01, 0.02, 16, dtype=np.float32),
    "wz": np.zeros(16, np.int8),
    "bias": np.linspace(-1, 1, 16, dtype=np.float32),
}
IMAGES = RNG.standard_normal((2, 3, 24), dtype=np.float32)


def product(bias=True, moved=False, read_elsewhere=False):
    """A product of pairs, whose values are moved before; with `read_elsewhere` they are an output's too."""
    taken = "images"
    nodes = []
    if moved:
        nodes += [
            helper.make_node("Neg", ["images"], ["negative"]),
            helper.make_node("Transpose", ["negative"], ["moved"], perm=[1, 0, 2]),
        ]
        taken = "moved"
    nodes += [
        helper.make_node("QuantizeLinear", [taken, "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["r"], axis=1),
        helper.make_node("MatMul", ["x", "r"], ["y"]),
    ]
    out = "y"
    if bias:
        nodes.append(helper.make_node("Add", ["bias", "y"], ["sum"]))
        out = "sum"
    if read_elsewhere:
        nodes += [
            helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=1),
            helper.make_node("Add", [out, "mean"], ["both"]),
        ]
        out = "both"
    return model_of(nodes, WEIGHTS, (None, 3, 24), out)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("moved", [True, False])
def test_zero_points_go_into_the_bias(bias, moved):
    made = product(bias, moved)
    found = for_openvino(made)
    writers, constants = graph_of(found)
    (after,) = [
        node for node in found.graph.node if node.op_type == "DequantizeLinear" and node.input[0] not in constants
    ]
    assert constants[after.input[2]] == 0
    assert constants[writers[after.input[0]].input[2]] == 120
    assert writers[writers[after.input[0]].input[0]].op_type == "Neg" if moved else True
    error = relative_error(ran(found, IMAGES), ran(made, IMAGES))
    assert error <= 1e-6, f"largest difference {error:.1e}"


def test_values_that_others_read_keep_theirs():
    made = product(read_elsewhere=True)
    found = for_openvino(made)
    assert [node.input[2] for node in found.graph.node if node.op_type == "DequantizeLinear"] == ["z", "wz"]
    assert np.array_equal(ran(found, IMAGES), ran(made, IMAGES))


def test_another_form_is_left_as_it_is():
    """Weights with zero points, or a scale for each row, which no sum over rows tells."""
    for changes in ({"wz": np.full(16, 3, np.int8)}, {"w": WEIGHTS["w"].T.copy(), "axis": 0}):
        made = product()
        for tensor in made.graph.initializer:
            if tensor.name in changes:
                tensor.CopyFrom(numpy_helper.from_array(changes[tensor.name], tensor.name))
        if "axis" in changes:
            (node,) = [node for node in made.graph.node if node.output[0] == "r"]
            node.attribute[0].i = 0
        found = for_openvino(made)
        assert found.graph.node == made.graph.node


@pytest.mark.parametrize("unknown", ["inputs with a default", "a graph inside"])
def test_what_it_does_not_know_stays(exported, unknown):
    model = read_graph(exported["qdq"])
    assert for_openvino(model).SerializeToString() != model.SerializeToString()
    if unknown == "inputs with a default":
        model.graph.input.extend(
            helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in model.graph.initializer
        )
    else:
        yes = helper.make_node("Constant", [], ["yes"], value_int=1)
        inside = helper.make_graph([yes], "inside", [], [helper.make_tensor_value_info("yes", TensorProto.INT64, [])])
        model.graph.node.add().CopyFrom(helper.make_node("If", ["asked"], ["got"], then_branch=inside))
    assert for_openvino(model).graph.node == model.graph.node
