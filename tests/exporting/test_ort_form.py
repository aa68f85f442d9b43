"""A QDQ graph in ONNX Runtime's own operators computes what it computed, and everything that reads graphs reads it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.checks import refusal
from support.places import DEMO
from support.small_export import SMALL, request

import resnas_deploy as resnas
from resnas_deploy.artifact.artifact import MODEL, open_artifact
from resnas_deploy.artifact.creating import seal
from resnas_deploy.artifact.graph import read_graph
from resnas_deploy.exporting.arithmetic.check import compute_in_own_type
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.ort_form import for_onnxruntime
from resnas_deploy.exporting.verified_images import verification_inputs
from resnas_deploy.precision import relative_error
from resnas_deploy.progress import silent
from resnas_deploy.weights.checkpoint import load, untrained

PRODUCT = ("com.microsoft", "MatMulIntegerToFloat")
# What ONNX Runtime makes of the pairs itself is the same operator, but for the addition of the bias, which may be
# rounded once less inside of it.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The trained demo network in int8, as QDQ and for ONNX Runtime's CPU, with the same ranges; not verified."""
    folder = tmp_path_factory.mktemp("forms")
    wanted = request(folder, precision="int8", calibration_images=8, verify_on=None)
    return [
        export(lambda: load(DEMO), replace(wanted, out=folder / (name or "qdq"), for_runner=name), silent)
        for name in ("", "ort-cpu")
    ]


def logits_of(model, images):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images})
    return found


def kinds(model):
    return Counter((node.domain, node.op_type) for node in model.graph.node)


def test_products_are_written_with_their_bias(exported):
    qdq, own = (kinds(read_graph(artifact)) for artifact in exported)
    assert qdq["", "MatMul"] == own[PRODUCT] == 44
    assert not own["", "MatMul"]
    biases = sum(len(node.input) == 7 for node in read_graph(exported[1]).graph.node if node.op_type == PRODUCT[1])
    assert biases == qdq["", "Add"] - own["", "Add"] == 28  # query, projection, fc1 and fc2 of seven blocks
    assert own["", "Gelu"] == qdq["", "Gelu"]
    assert own["", "Attention"] == qdq["", "Attention"]


def test_the_logits_are_those_of_the_qdq_graph(exported):
    images = verification_inputs(exported[0].manifest.preprocessing).images
    wanted, found = (logits_of(read_graph(artifact), images) for artifact in exported)
    error = relative_error(found, wanted)
    assert error <= TOLERANCE, f"largest difference {error:.1e}, tolerance {TOLERANCE:g}"


def test_what_the_runtime_really_runs(exported, tmp_path):
    """No bias beside a product, GELU as itself, nothing that it made of it in float32."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(str(exported[1].graph), options, providers=["CPUExecutionProvider"])
    run = kinds(onnx.load(tmp_path / "run.onnx"))
    assert run[PRODUCT] == 44
    assert run["", "Gelu"] == 7
    assert run["com.microsoft", "BiasGelu"] == run["", "MatMul"] == run["", "Conv"] == 0


def test_its_own_arithmetic_is_known(exported):
    images = verification_inputs(exported[0].manifest.preprocessing).images
    wanted, found = (compute_in_own_type(artifact, images) for artifact in exported)
    assert relative_error(found.logits, wanted.logits) <= 1e-2  # a value on the edge of a step may take the next one
    assert list(found.peaks) == list(wanted.peaks)
    errors = [
        relative_error(own.logits, logits_of(read_graph(artifact), images))
        for own, artifact in zip((wanted, found), exported, strict=True)
    ]
    assert errors[1] <= 2 * errors[0]  # it is as far from what the runtime computes as it is for the pairs


def test_the_manifest_says_it(exported):
    qdq, own = (artifact.manifest for artifact in exported)
    assert own.label == "test int8 32 for ort-cpu (UNVERIFIED)"
    assert own.quantisation["products"] == "com.microsoft.MatMulIntegerToFloat, bias inside"
    assert "products" not in qdq.quantisation
    assert "for_runner" not in json.loads(qdq.to_bytes())


@pytest.mark.slow
def test_a_verified_export_is_as_accurate(tmp_path):
    """Every path that a quantised graph takes: probes, accuracy, own arithmetic, then the same from outside."""
    found = {}
    for name in ("", "ort-cpu"):
        made = resnas.export(checkpoint=DEMO, precision="int8", for_runner=name, out=tmp_path / (name or "qdq"))
        found[name] = made.manifest.verification
        assert resnas.verify(made.folder).verification.passed
    assert found[""].accuracy.graph == found["ort-cpu"].accuracy.graph
    assert found[""].element_errors == pytest.approx(found["ort-cpu"].element_errors, rel=1e-2)


def pairs(weights, bias=None, zero=0, axis=1, scales=None, extra=False):
    """A graph of one product in QDQ form; with `extra` its result before the bias is read once more."""
    scales = np.full(weights.shape[1], 0.01, np.float32) if scales is None else scales
    constants = {
        "s": np.float32(0.02),
        "z": np.uint8(120),
        "w": weights,
        "ws": scales,
        "wz": np.full(np.shape(scales), zero, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["images", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["r"], axis=axis),
        helper.make_node("MatMul", ["x", "r"], ["y"]),
    ]
    if bias is not None:
        constants["bias"] = bias
        nodes.append(helper.make_node("Add", ["bias", "y"], ["sum"]))
    out = nodes[-1].output[0]
    if extra:
        nodes.append(helper.make_node("Add", [out, "y"], ["twice"]))
        out = "twice"
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (None, 3, weights.shape[0]))],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


WEIGHTS = np.random.default_rng(0).integers(-127, 128, (24, 16)).astype(np.int8)
BIAS = np.linspace(-1, 1, 16, dtype=np.float32)


@pytest.mark.parametrize(
    ("made", "inputs"),
    [
        (pairs(WEIGHTS), 6),
        (pairs(WEIGHTS, BIAS), 7),
        (pairs(WEIGHTS, BIAS, axis=-1), 7),
        (pairs(WEIGHTS, scales=np.float32(0.01)), 6),
        (pairs(WEIGHTS, BIAS, zero=3), 7),  # zero points of weights are passed on, where they count
        (pairs(WEIGHTS, BIAS[:1]), 6),  # which is broadcast, so it stays an addition
        (pairs(WEIGHTS, np.ones((3, 16), np.float32)), 6),
        (pairs(WEIGHTS, BIAS, extra=True), 6),  # the sum without the bias is read too
    ],
    ids=str,
)
def test_patterns_that_are_known(made, inputs):
    images = np.random.default_rng(1).standard_normal((2, 3, 24), dtype=np.float32)
    found = for_onnxruntime(made)
    (product,) = [node for node in found.graph.node if node.op_type == PRODUCT[1]]
    assert len(product.input) == inputs
    assert kinds(found)["", "DequantizeLinear"] == 0
    wanted = logits_of(made, images)
    assert relative_error(logits_of(found, images), wanted) <= TOLERANCE
    assert for_onnxruntime(found) == found  # nothing is left to write


def test_a_scale_for_each_row_stays():
    made = pairs(WEIGHTS, BIAS, axis=0, scales=np.full(24, 0.01, np.float32))
    assert for_onnxruntime(made) == made


def altered(artifact, folder, change):
    """The artifact with a changed graph under a manifest with its hash."""
    shutil.copytree(artifact.folder, folder)
    model = onnx.load(folder / MODEL)
    change(model)
    (folder / MODEL).write_bytes(model.SerializeToString())
    return seal(replace(artifact, folder=folder, held=type(artifact.held)()))


def product_of(model):
    return next(node for node in model.graph.node if node.op_type == PRODUCT[1] and len(node.input) == 7)


def shorter_bias(model):
    name = product_of(model).input[6]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:1], name))


def bias_that_is_computed(model):
    product_of(model).input[6] = "stem"


def longer_scale(model):
    name = product_of(model).input[3]
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.tile(numpy_helper.to_array(tensor), 2), name))


def without_zero_point(model):
    product_of(model).input[4] = ""


def another_operator(model):
    product_of(model).op_type = "FusedMatMul"


def with_an_attribute(model):
    product_of(model).attribute.append(helper.make_attribute("axis", 1))


def computed_weights(model):
    product_of(model).input[1] = "stem"


def of_another_type(model):
    product_of(model).input[0] = "stem"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shorter_bias, "with a bias that is no constant of its size"),
        (bias_that_is_computed, "with a bias that is no constant of its size"),
        (longer_scale, "with a b_scale that is no constant of its size"),
        (without_zero_point, "with a a_zero_point that is no constant of its size"),
        (another_operator, "operators of com.microsoft must be MatMulIntegerToFloat, found 'FusedMatMul'"),
        (with_an_attribute, "of 7 inputs, 1 outputs and 1 attributes"),
        (computed_weights, "of weights that are no constant matrix"),
        (of_another_type, "must be a whole ONNX graph"),
    ],
)
def test_what_no_export_writes(exported, tmp_path, change, said):
    """The runtime would read beyond the end of some of these."""
    artifact = altered(exported[1], tmp_path / "altered", change)
    message = refusal(lambda: read_graph(artifact))
    assert said in message
    assert message.endswith("export the artifact again")


def test_no_other_artifact_may_have_such_operators(exported, tmp_path):
    artifact = altered(exported[1], tmp_path / "altered", lambda _: None)
    foreign = replace(artifact, manifest=replace(artifact.manifest, for_runner=""))
    assert "found the domain 'com.microsoft'" in refusal(lambda: read_graph(foreign))
    assert open_artifact(artifact.folder).manifest == artifact.manifest


def test_an_untrained_network_too(tmp_path):
    wanted = request(tmp_path, precision="int8", for_runner="ort-cpu", calibration_images=4)
    artifact = export(lambda: untrained(SMALL), wanted, silent)
    assert artifact.manifest.verification.passed
    assert kinds(read_graph(artifact))[PRODUCT] > 0
