"""Graphs in their own type: against ONNX Runtime in float32, against numpy element by element in float16."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support.checks import refusal
from support.networks import SMALL as LITTLE
from support.networks import arch_specs, mini
from support.small_export import SMALL, request

from resnas_deploy.arch.elements import elements
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.arithmetic.evaluate import Graph
from resnas_deploy.exporting.export import export
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import SPELLINGS
from resnas_deploy.precision import PRECISIONS, relative_error
from resnas_deploy.weights.checkpoint import untrained
from resnas_deploy.weights.resize import resize

FP16, FP32 = PRECISIONS["fp16"], PRECISIONS["fp32"]


def on_runtime(path, images):
    """ONNX Runtime without its optimisations: every node for itself."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {"images": images})[0]


def noise(arch, count=3):
    return np.random.default_rng(1).standard_normal((count, 3, arch.image_size, arch.image_size), dtype=np.float32)


@settings(max_examples=12)
@given(arch_specs(), st.sampled_from(list(SPELLINGS.values())), st.sampled_from((1, 8, 32)), st.integers(0, 9))
def test_in_float32_it_is_what_the_runtime_computes(tmp_path_factory, arch, spelling, alignment, seed):
    assume(arch.stages[0].width >= 4)  # a norm of one channel, or of two that are equal, makes much of any rounding
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    emit(untrained(arch, seed), FP32, BatchRange(1, 8), spelling=spelling, alignment=alignment).write(path)
    found = Graph(path, arch, FP32).evaluate(noise(arch))
    assert relative_error(found.logits, on_runtime(path, noise(arch))) <= 1e-5
    assert list(found.peaks) == [element.name for element in elements(arch)]


@pytest.mark.parametrize(
    ("precision", "engine", "tolerance"),
    [
        ("fp16", False, 2e-3),  # where one rounding went the other way
        ("int8", False, 2e-2),  # a step of an activation
        ("int8", True, 2e-2),
        ("fp8", True, 5e-2),
    ],
)
@pytest.mark.parametrize(("spelling", "align"), list(product(("operator+views", "packed+grid"), (1, 16))))
def test_in_lower_precision_it_is_what_the_runtime_computes_node_by_node(
    tmp_path, precision, engine, tolerance, spelling, align
):
    wanted = request(
        tmp_path,
        precision=precision,
        for_engine=engine,
        spelling=SPELLINGS[spelling],
        align=align,
        calibration_images=4,
        verify_on=None,
    )
    artifact = export(mini, wanted, lambda _: None)
    images = noise(artifact.arch)
    found = Graph(artifact.model, artifact.arch, PRECISIONS[artifact.manifest.type]).evaluate(images)
    assert relative_error(found.logits, on_runtime(artifact.model, images)) <= tolerance


@pytest.mark.parametrize("spelling", ["operator+views", "packed+grid"])
def test_in_lower_precision_it_is_so_on_an_odd_grid(tmp_path, spelling):
    wanted = request(tmp_path, precision="int8", spelling=SPELLINGS[spelling], calibration_images=4, verify_on=None)
    artifact = export(lambda: resize(mini(), 126), wanted, lambda _: None)
    assert [artifact.arch.side(stage) for stage in range(3)] == [9, 5, 3]
    images = noise(artifact.arch)
    found = Graph(artifact.model, artifact.arch, PRECISIONS[artifact.manifest.type]).evaluate(images)
    assert relative_error(found.logits, on_runtime(artifact.model, images)) <= 2e-2


def test_any_number_of_images_gives_the_same(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    emit(mini(), FP16, BatchRange(3, 3)).write(path)
    graph, images = Graph(path, mini().arch, FP16), noise(mini().arch, 5)
    whole = graph.evaluate(images, ["stem", "reduction1"])
    monkeypatch.setattr("resnas_deploy.exporting.arithmetic.evaluate._PIXELS", 2 * images[0, 0].size)
    parts = graph.evaluate(images, ["stem", "reduction1"])
    assert relative_error(parts.logits, whole.logits) < 2e-3
    assert {name: output.shape for name, output in parts.outputs.items()} == {
        name: output.shape for name, output in whole.outputs.items()
    }
    assert [peak.operator for peak in parts.peaks.values()] == [peak.operator for peak in whole.peaks.values()]


# Element by element in numpy: sums in float32, every result rounded to float16.


def half(value):
    with np.errstate(over="ignore"):
        return np.float16(value)


def each(function, *arrays):
    out = np.empty(np.broadcast_shapes(*(array.shape for array in arrays)), np.float16)
    for index, values in zip(np.ndindex(out.shape), np.broadcast(*arrays), strict=True):
        out[index] = half(function(*map(np.float32, values)))
    return out


def matmul(a, b):
    b = np.broadcast_to(b, (*a.shape[:-2], *b.shape[-2:]))
    out = np.empty((*a.shape[:-1], b.shape[-1]), np.float16)
    for *batch, row, column in np.ndindex(out.shape):
        products = (np.float32(x) * np.float32(y) for x, y in zip(a[*batch, row], b[*batch, :, column], strict=True))
        out[*batch, row, column] = half(sum(products, np.float32(0)))
    return out


def softmax(a):
    out = np.empty_like(a)
    for index in np.ndindex(a.shape[:-1]):
        powers = [math.exp(float(x) - float(a[index].max())) for x in a[index]]
        out[index] = [half(power / sum(powers)) for power in powers]
    return out


def layer_norm(a, scale):
    out = np.empty_like(a)
    for index in np.ndindex(a.shape[:-1]):
        row = [float(x) for x in a[index]]
        mean = sum(row) / len(row)
        variance = sum((x - mean) ** 2 for x in row) / len(row)
        normed = [half((x - mean) / math.sqrt(variance + 1e-6)) for x in row]
        out[index] = [half(float(n) * float(s)) for n, s in zip(normed, scale, strict=True)]
    return out


def gelu(a):
    return each(lambda x: x * 0.5 * (1 + math.erf(float(x) / math.sqrt(2))), a)


def graph_of(tmp_path, nodes, weights, shape):
    """A graph from `images` to `logits` in fp16."""
    edges = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("images", "logits")]
    nodes = [helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT16), *nodes]
    nodes.append(helper.make_node("Cast", ["y"], ["logits"], to=TensorProto.FLOAT))
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "test", edges[:1], edges[1:], initializers)
    path = tmp_path / "test.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)]), path)
    images = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    return path, images


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_float16_is_numpys_element_by_element(tmp_path, scale):
    """The product's scores are beyond float16 with the larger scale: infinite in both, and no number after it."""
    rng = np.random.default_rng(3)
    weights = {
        "w": (scale * rng.standard_normal((6, 6))).astype(np.float16),
        "b": rng.standard_normal(6).astype(np.float16),
        "s": rng.standard_normal(6).astype(np.float16),
    }
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Add", ["a", "b"], ["c"]),
        node("Gelu", ["c"], ["d"]),
        node("LayerNormalization", ["d", "s"], ["e"], axis=-1, epsilon=1e-6),
        node("Transpose", ["d"], ["t"], perm=[0, 1, 3, 2]),
        node("MatMul", ["d", "t"], ["scores"]),
        node("Softmax", ["scores"], ["f"], axis=-1),
        node("MatMul", ["f", "e"], ["g"]),
        node("Mul", ["g", "b"], ["h"]),
        node("Mean", ["h", "e", "d"], ["y"]),
    ]
    path, images = graph_of(tmp_path, nodes, weights, (1, 2, 5, 6))
    d = gelu(each(lambda x, y: x + y, matmul(images.astype(np.float16), weights["w"]), weights["b"]))
    e = layer_norm(d, weights["s"])
    scores = matmul(d, d.transpose(0, 1, 3, 2))
    graph = Graph(path, SMALL, FP16)
    found = graph.evaluate(images, ["d", "e", "scores"])
    for name, wanted in (("d", d), ("e", e)):  # to the last bit but where a sum's order, or erf, turned a rounding
        np.testing.assert_allclose(found.outputs[name], wanted.astype(np.float32), rtol=2e-3, atol=2e-3)
        assert (found.outputs[name] == wanted).mean() > 0.8
    assert np.array_equal(np.isinf(found.outputs["scores"]), np.isinf(scores))
    peak = found.peaks["stem"]
    if scale > 1:
        assert np.isinf(scores).any()
        assert not np.isfinite(found.logits).all()
        assert peak.operator == "scores (MatMul)", "the first that left the range, not what followed from it"
        assert peak.magnitude > FP16.largest
        return
    h = each(lambda x, y: x * y, matmul(softmax(scores), e), weights["b"])
    y = each(lambda a, b, c: (a + b + c) / np.float32(3), h, e, d)
    np.testing.assert_allclose(found.logits, y.astype(np.float32), rtol=4e-3, atol=4e-3)
    assert np.array_equal(found.logits, found.logits.astype(np.float16)), "every value is one of float16's"
    assert peak.share(FP16.largest) < 1e-2


def test_attention_rounds_its_scores_as_the_same_algebra_in_products_does(tmp_path):
    """In both ranks, and with the scale that the standard takes where none is given: q and k times its root."""
    node, heads, dim = helper.make_node, 2, 4
    packed = [node("Attention", ["x", "x", "x"], ["y"], q_num_heads=heads, kv_num_heads=heads)]
    path, images = graph_of(tmp_path, packed, {}, (2, 5, heads * dim))
    images *= 20
    found = Graph(path, SMALL, FP16).evaluate(images).logits
    x = images.astype(np.float16).reshape(2, 5, heads, dim).transpose(0, 2, 1, 3)
    scaled = each(lambda v: v * np.float32(math.sqrt(dim**-0.5)), x)
    wanted = matmul(softmax(matmul(scaled, scaled.transpose(0, 1, 3, 2))), x).transpose(0, 2, 1, 3).reshape(2, 5, -1)
    np.testing.assert_allclose(found, wanted.astype(np.float32), rtol=4e-3, atol=4e-3)
    for factor, infinite in ((5, False), (30, True)):  # scores of up to some 2e4, and of 7e5
        peak = Graph(path, SMALL, FP16).evaluate(images * np.float32(factor)).peaks["stem"]
        assert (peak.share(FP16.largest) > 1) == infinite, peak
    assert ".scores (Attention)" in peak.operator


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (helper.make_node("Erf", ["x"], ["y"], name="odd"), "ai.onnx::Erf at odd"),
        (helper.make_node("Relu", ["x"], ["y"], name="odd", domain="com.acme"), "com.acme::Relu at odd"),
        (helper.make_node("Softmax", ["x"], ["y"], name="odd", beta=2.0), "Softmax with beta at odd"),
        (helper.make_node("Attention", ["x", "x", "x"], ["y"], name="odd", is_causal=1), "with is_causal = 1"),
        (helper.make_node("Attention", ["x", "x", "x", "", "x"], ["y"], name="odd"), "with an input 4"),
        (helper.make_node("LayerNormalization", ["x", "x"], ["y"], name="odd", stash_type=10), "with stash_type = 10"),
        (helper.make_node("Gelu", ["x"], ["y"], name="odd", approximate="tanh"), "with approximate = b'tanh'"),
        (helper.make_node("Add", ["x", "nothing"], ["y"], name="odd"), "found nothing of odd nowhere"),
        (helper.make_node("MatMul", ["x", "x"], ["y"], name="odd"), "MatMul that cannot be computed"),
        (helper.make_node("Relu", ["x"], ["z"], name="odd"), "found y of"),
    ],
)
def test_what_is_not_known_is_refused_and_never_passed_over(tmp_path, node, said):
    path, images = graph_of(tmp_path, [node], {}, (1, 2, 5, 6))
    assert said in refusal(lambda: Graph(path, SMALL, FP16).evaluate(images))


def test_a_file_that_is_no_graph(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"\x0a\xff\xff")
    assert "must be a whole graph" in refusal(lambda: Graph(tmp_path / "model.onnx", SMALL, FP16))


def test_damaged_graphs_are_computed_or_refused(tmp_path):
    """Bytes changed and files cut short, as under a hash that was made anew: never another exception."""
    path, rng = tmp_path / "model.onnx", np.random.default_rng(0)
    emit(untrained(LITTLE), FP16, BatchRange(1, 4), spelling=SPELLINGS["packed+grid"]).write(path)
    whole = path.read_bytes()
    refusals = 0
    for number in range(200):
        content = bytearray(whole)
        for place in rng.integers(len(whole), size=rng.integers(1, 4)):
            content[place] = rng.integers(256)
        path.write_bytes(content[: rng.integers(len(whole))] if number % 5 == 0 else content)
        try:
            Graph(path, LITTLE, FP16).evaluate(noise(LITTLE, 1))
        except BadInput as error:
            refusals += 1
            assert str(error).isprintable()
            assert len(str(error)) < 600
    assert refusals > 50
