"""The quantised graph: what is quantised and how, against numpy and against what ONNX Runtime really runs."""

from __future__ import annotations

from collections import Counter
from functools import cache

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, inliner, numpy_helper
from support.checks import refusal
from support.networks import arch_specs
from support.places import DEMO
from support.small_export import SMALL, request

from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.calibration import calibration
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.quantise import quantise
from resnas_deploy.exporting.ranges import activation_ranges
from resnas_deploy.exporting.scheme import scheme_for
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import FOR_RUNTIMES
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.precision import precision_named, relative_error, tolerance_of
from resnas_deploy.progress import silent
from resnas_deploy.weights.checkpoint import Checkpoint, load, untrained

BATCH = BatchRange(1, 4)
IMAGES = 8  # of the calibration
KINDS = [("int8", False), ("int8", True), ("fp8", False)]  # precision, and whether for engines
PAIR = ("QuantizeLinear", "DequantizeLinear")


@cache
def demo():
    return load(DEMO)


def preprocessing(checkpoint):
    return (
        checkpoint.task.preprocessing if checkpoint.task else Preprocessing.for_image_size(checkpoint.arch.image_size)
    )


def plain(checkpoint, path, precision="fp32"):
    """Emit the graph as it is before it is quantised."""
    emit(checkpoint, precision_named(precision), BATCH, spelling=FOR_RUNTIMES, alignment=1).write(path)


def images_of(checkpoint, count=IMAGES):
    return calibration(None, count, preprocessing(checkpoint)).images


def quantised(checkpoint, folder, precision, engine):
    """The graphs before and after, both without functions."""
    scheme = scheme_for(precision, engine)
    twin, path = folder / "fp32.onnx", folder / "model.onnx"
    plain(checkpoint, twin)
    plain(checkpoint, path, scheme.around)
    before = inliner.inline_local_functions(onnx.load(path))
    quantise(path, activation_ranges(twin, images_of(checkpoint), BATCH, silent), scheme)
    return before, onnx.load(path)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}{' engine' * kind[1]}")
def graphs(request, tmp_path_factory):
    """Precision, whether for engines, and the demo network's graph before and after."""
    return *request.param, *quantised(demo(), tmp_path_factory.mktemp("graph"), *request.param)


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory):
    """The demo network's int8 graph for CPUs and the one before, as files."""
    folder = tmp_path_factory.mktemp("cpu")
    quantised(demo(), folder, "int8", False)
    return folder / "fp32.onnx", folder / "model.onnx"


def arrays(model):
    return {tensor.name: array_of(tensor) for tensor in model.graph.initializer}


def array_of(tensor):
    if tensor.data_type == TensorProto.FLOAT8E4M3FN:
        return np.frombuffer(tensor.raw_data, ml_dtypes.float8_e4m3fn).reshape(tuple(tensor.dims))
    return numpy_helper.to_array(tensor)


def weight_pairs(before, after):
    """Of each quantised weight: its name, the original, the values, the scale and the axis of its channels."""
    originals, values = arrays(before), arrays(after)
    for node in after.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in values:
            name = node.input[0].removesuffix("_quantized")
            axis = next(attribute.i for attribute in node.attribute if attribute.name == "axis")
            yield name, originals[name], values[node.input[0]], values[node.input[1]], axis


def along(scale, axis, rank):
    shape = [1] * rank
    shape[axis] = -1
    return scale.astype(np.float32).reshape(shape)


def reads_pairs(model):
    """The names of the nodes of which an input comes from a DequantizeLinear."""
    dequantised = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    return {node.name for node in model.graph.node if node.op_type not in PAIR and dequantised & set(node.input)}


def test_the_graph_is_valid(graphs):
    onnx.checker.check_model(graphs[3], full_check=True)


def test_every_product_with_weights_but_the_head_is_quantised(graphs):
    precision, engine, before, after = graphs
    weights = arrays(before)
    products = {node.name for node in before.graph.node if node.op_type == "MatMul" and node.input[1] in weights}
    convolutions = {node.name for node in before.graph.node if node.op_type == "Conv"}
    assert len(products) == 44
    assert len(convolutions) == 6
    expected = products
    if precision == "int8" and not engine:
        expected = products | convolutions | {"stem.add"}
    found = reads_pairs(after)
    kinds = {node.name: node.op_type for node in before.graph.node}
    assert expected <= found
    # Others only move values: what they read is rounded since a product reads it too, or a convolution wrote it.
    assert {kinds[name] for name in found - expected} <= {"Relu", "Reshape", "Transpose", "Slice", "Pad", "ReduceMean"}
    assert not any(name.startswith("head") for name in found)


def test_norms_softmax_and_gelu_are_the_same_nodes_as_before(graphs):
    precision, engine, before, after = graphs
    kinds = ("LayerNormalization", "Softmax", "Gelu", "Attention", "Gemm")

    def untouched(model):
        return sorted(node.SerializeToString() for node in model.graph.node if node.op_type in kinds)

    assert untouched(after) == untouched(before)
    assert len(untouched(before)) == 17 + 7 + 7 + 1
    left = Counter(node.op_type for node in before.graph.node)
    left.subtract(node.op_type for node in after.graph.node if node.op_type not in PAIR)
    # Between quantised values a relu is the lower end of uint8.
    assert {kind: count for kind, count in left.items() if count} == (
        {} if precision == "fp8" or engine else {"Relu": 1}
    )


def test_scales_are_finite_and_positive(graphs):
    precision, engine, _, after = graphs
    values = arrays(after)
    nodes = [node for node in after.graph.node if node.op_type in PAIR]
    assert len(nodes) > 100
    kinds = {"fp8": {"float8_e4m3fn"}, "int8": {"int8"} if engine else {"int8", "uint8"}}[precision]
    assert {values[node.input[2]].dtype.name for node in nodes} == kinds
    for node in nodes:
        scale, zero = values[node.input[1]], values[node.input[2]]
        assert np.isfinite(scale.astype(np.float32)).all(), node.name
        assert (scale > 0).all(), node.name
        if engine or precision == "fp8" or zero.dtype == np.int8:
            assert not zero.astype(np.float32).any(), f"{node.name} must be symmetric"


def test_the_precision_of_what_is_around(graphs):
    precision, engine, before, after = graphs
    expected = np.float32 if precision == "int8" and not engine else np.float16
    scales = {array.dtype for name, array in arrays(after).items() if name.endswith("_scale")}
    assert scales == {np.dtype(expected)}
    assert arrays(after)["head.linear.weight"].dtype == expected
    np.testing.assert_array_equal(arrays(after)["head.linear.weight"], arrays(before)["head.linear.weight"])


def test_weights_are_quantised_by_output_channel_to_the_nearest_step(graphs):
    precision, engine, before, after = graphs
    count = 0
    for name, original, values, scale, axis in weight_pairs(before, after):
        assert axis == (0 if original.ndim == 4 else 1), name
        assert scale.shape == (original.shape[axis],), name
        weight, steps = original.astype(np.float32), along(scale, axis, original.ndim)
        others = tuple(number for number in range(weight.ndim) if number != axis)
        most = {"int8": 127, "fp8": 448}[precision]
        # The largest of each channel is the largest number of the format, but for what rounding the scale to the
        # precision around may cost.
        np.testing.assert_allclose(np.abs(weight).max(others) / scale.astype(np.float32), most, rtol=2e-3, err_msg=name)
        if precision == "int8":
            error = np.abs(values * steps - weight)
            assert (error <= steps * (0.5 + 127 * 2e-3)).all(), name
            if scale.dtype == np.float32:
                assert (error <= 0.5001 * steps).all(), name
        else:
            nearest = np.clip(weight / steps, -448, 448).astype(ml_dtypes.float8_e4m3fn)
            np.testing.assert_array_equal(values.view(np.uint8), nearest.view(np.uint8), err_msg=name)
        count += 1
    assert count == 44 + 6 * (precision == "int8" and not engine)


@settings(max_examples=6, deadline=None, phases=(Phase.generate,), suppress_health_check=[HealthCheck.too_slow])
@given(arch=arch_specs(), seed=st.integers(0, 99), kind=st.sampled_from(KINDS))
def test_the_weights_of_any_network_are_within_half_a_step(tmp_path_factory, arch, seed, kind):
    folder = tmp_path_factory.mktemp("any")
    before, after = quantised(untrained(arch, seed), folder, *kind)
    onnx.checker.check_model(after)
    pairs = list(weight_pairs(before, after))
    assert pairs
    for name, original, values, scale, axis in pairs:
        steps = along(scale, axis, original.ndim)
        wanted, found = original.astype(np.float32), values.astype(np.float32) * steps
        if kind[0] == "int8":
            rounded = np.clip(np.rint(wanted / steps), -127, 127)
            assert np.abs(values - rounded).max() <= 1, name  # the scale may have been rounded after the weights
            half = steps * (0.5001 if scale.dtype == np.float32 else 0.75)
        else:
            half = np.maximum(np.abs(wanted) / 16, steps * 2.0**-10) * 1.001  # half of the last of three bits
        assert (np.abs(found - wanted) <= half).all(), name
    size = arch.image_size
    images = np.random.default_rng(seed).standard_normal((2, 3, size, size), dtype=np.float32)
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    assert np.isfinite(session.run(None, {"images": images})[0]).all()


def test_onnx_runtime_really_multiplies_int8(on_cpu, tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # it warns that what it saves is for this machine
    ort.InferenceSession(on_cpu[1], options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx")
    weights = {tensor.name for tensor in optimised.graph.initializer}
    operators = [node.op_type for node in optimised.graph.node]
    assert operators.count("MatMulIntegerToFloat") == 44
    assert operators.count("QLinearConv") == 6
    in_float = [
        node.name
        for node in optimised.graph.node
        if node.op_type in ("MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Conv", "FusedConv", "NhwcFusedConv")
        and node.input[1] in weights
    ]
    assert [name.partition(".")[0] for name in in_float] in (["head"], [""])


def test_the_error_is_below_the_tolerance_and_above_that_of_fp32(on_cpu):
    images = images_of(demo(), 32)
    wanted, found = (
        np.concatenate(
            [
                ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"images": images[i : i + 4]})[
                    0
                ]
                for i in range(0, 32, 4)
            ]
        )
        for path in on_cpu
    )
    assert 1e-4 < relative_error(found, wanted) < tolerance_of("int8")


def test_the_ranges_are_those_of_the_activations(tmp_path):
    """Against a session of our own, whatever the size of the batches."""
    path = tmp_path / "fp32.onnx"
    plain(demo(), path)
    images = images_of(demo(), 10)
    ranges = activation_ranges(path, images, BATCH, silent)
    model = inliner.inline_local_functions(onnx.load(path))
    names = ["stem.projection", "stage1.block1.norm1", "stage2.block2.mlp.gelu", "stage3.block2.attention"]
    assert set(names) <= ranges.keys()
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for name, values in zip(names, session.run(names, {"images": images}), strict=True):
        np.testing.assert_allclose(ranges[name], (values.min(), values.max()), rtol=1e-4, atol=1e-5)
    assert ranges["images"] == (images.min(), images.max())
    assert activation_ranges(path, images, BATCH, silent) == ranges
    other = activation_ranges(path, images[::-1], BatchRange(1, 64), silent)
    assert other.keys() == ranges.keys()
    np.testing.assert_allclose([other[name] for name in ranges], list(ranges.values()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batch", [BatchRange(1, 1), BatchRange(3, 3), BatchRange(40, 40), BatchRange(5, 6)], ids=str)
def test_the_calibration_keeps_to_the_batch_range(tmp_path, batch):
    """A graph of one batch size takes no other."""
    wanted = request(tmp_path, precision="int8", batch=batch, calibration_images=10, verify_on=None)
    artifact = export(lambda: untrained(SMALL), wanted, silent)
    assert artifact.manifest.batch == batch
    plain_path = tmp_path / "fp32.onnx"
    emit(untrained(SMALL), precision_named("fp32"), batch, spelling=FOR_RUNTIMES, alignment=1).write(plain_path)
    images = images_of(untrained(SMALL), 10)
    told = []
    found = activation_ranges(plain_path, images, batch, told.append)
    assert found["images"] == (images.min(), images.max())
    assert len(told) == -(-10 // max(batch.least, min(batch.most, 10)))


def test_fewer_images_at_once_are_calibrated_with_where_one_needs_much_memory(tmp_path):
    path, images, told = tmp_path / "fp32.onnx", images_of(demo(), 10), []
    plain(demo(), path)
    found = activation_ranges(path, images, BatchRange(1, 64), told.append, image_bytes=2**28)
    assert len(told) == 5
    usual = activation_ranges(path, images, BatchRange(1, 64), silent)
    np.testing.assert_allclose([found[name] for name in usual], list(usual.values()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("bad", [[0, 1, 2, 3], [3]])
def test_activations_that_are_not_finite_are_refused(tmp_path, bad):
    """All of them, or of one image alone, which NaN in a range would hide."""
    path = tmp_path / "fp32.onnx"
    plain(demo(), path)
    images = images_of(demo(), 4)
    images[bad] = np.where(images[bad] > 0, 3e38, -3e38)
    message = refusal(lambda: activation_ranges(path, images, BatchRange(1, 1), silent))
    assert message == "activations must be finite on the calibration images, found NaN or infinity at stem.conv1"


def test_a_network_that_overflows_is_refused_and_leaves_nothing(tmp_path):
    checkpoint = demo()
    huge = {name: checkpoint.tensors[name] * np.float32(1e20) for name in ("stem.conv1.weight", "stem.conv2.weight")}
    bad = Checkpoint(checkpoint.arch, dict(checkpoint.tensors) | huge, checkpoint.provenance, checkpoint.task)
    wanted = request(tmp_path, precision="int8", calibration_images=4)
    assert "activations must be finite" in refusal(lambda: export(lambda: bad, wanted, silent))
    assert not list(tmp_path.iterdir())
