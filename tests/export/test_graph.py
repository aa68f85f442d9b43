"""The emitted graph: valid, fully shaped, deterministic, and the module's own computation on real runtimes."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, inliner, shape_inference

from resnas_deploy.arch import ArchSpec, Block, Stage
from resnas_deploy.batch import BatchRange
from resnas_deploy.checkpoint import Checkpoint
from resnas_deploy.elements import elements
from resnas_deploy.export.graph import emit
from resnas_deploy.export.precision import PRECISIONS
from resnas_deploy.model import build_model
from resnas_deploy.published import PUBLISHED
from resnas_deploy.untrained import untrained

SMALL = ArchSpec(
    (
        Stage(12, (Block(2, 8, 24), Block(3, 8, 16))),
        Stage(20, (Block(1, 12, 40),)),
        Stage(20, (Block(2, 16, 24), Block(1, 16, 48))),  # as wide as the stage before: nothing to pad
    ),
    classes=7,
)
RANGE = BatchRange(1, 8)


def file_of(checkpoint: Checkpoint, tmp_path, precision="fp32", batch=RANGE):
    path = tmp_path / f"{precision}.onnx"
    emit(checkpoint, PRECISIONS[precision], batch).write(path)
    return path


def shapes(model):
    """Every value's inferred shape and type."""
    graph = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    values = [*graph.value_info, *graph.output]
    assert all(value.type.tensor_type.HasField("shape") for value in values)
    return {
        value.name: (
            [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim],
            value.type.tensor_type.elem_type,
        )
        for value in values
    }


def assert_all_known(model):
    known = shapes(model)
    for node in model.graph.node:
        for output in node.output:
            assert output in known, f"{output} has no shape"
            assert known[output][0], f"{output} has no dimensions"
            assert all(known[output][0]), f"{output} has the unknown shape {known[output][0]}"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", [224, 280, 336, 392])
@pytest.mark.parametrize("batch", [RANGE, BatchRange(3, 3)], ids=["dynamic", "fixed"])
def test_valid_and_every_value_has_a_shape(tmp_path, precision, size, batch):
    path = file_of(untrained(SMALL.with_image_size(size)), tmp_path, precision, batch)
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    assert_all_known(model)
    assert_all_known(inliner.inline_local_functions(model))
    known = shapes(model)
    first = "batch" if batch is RANGE else 3
    side = size // 14
    assert known["stem"][0] == [first, 1 + side**2, 12]
    assert known["reduction1"][0] == [first, 1 + side**2 // 4, 20]
    assert known["reduction2"][0] == [first, 1 + side**2 // 16, 20]
    assert known["stage3.block2"][0] == [first, 1, 20]
    assert known["logits"] == ([first, 7], TensorProto.FLOAT)
    assert [dim.dim_value or dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim] == [
        first,
        3,
        size,
        size,
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_valid(tmp_path, name):
    path = file_of(untrained(PUBLISHED[name].arch), tmp_path, "fp16")
    onnx.checker.check_model(path, full_check=True)
    assert_all_known(onnx.load(path))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_lower_precision_is_in_every_value_but_the_edges(tmp_path, precision):
    """Strongly typed: what stays in float32 is the input, the output, and the statistics inside LayerNormalization."""
    model = onnx.load(file_of(untrained(SMALL), tmp_path, precision))
    inlined = inliner.inline_local_functions(model)
    wanted = PRECISIONS[precision].onnx
    kept = {name for name, (_, kind) in shapes(inlined).items() if kind == TensorProto.FLOAT}
    assert kept == {"logits"}
    kinds = Counter(tensor.data_type for tensor in inlined.graph.initializer)
    assert set(kinds) == {wanted, TensorProto.INT64}
    assert [node.op_type for node in inlined.graph.node if node.op_type == "Cast"] == ["Cast", "Cast"]
    for node in inlined.graph.node:
        if node.op_type == "LayerNormalization":
            assert not [a for a in node.attribute if a.name == "stash_type" and a.i != TensorProto.FLOAT]


def test_two_emissions_are_byte_identical_and_as_protobuf_writes_them(tmp_path):
    first = file_of(untrained(SMALL), tmp_path).read_bytes()
    again = file_of(untrained(SMALL), tmp_path).read_bytes()
    assert first == again
    assert onnx.load_from_string(first).SerializeToString(deterministic=True) == first


def test_names_do_not_depend_on_weights_or_precision(tmp_path):
    def names(path):
        graph = onnx.load(path).graph
        return [node.name for node in graph.node if "cast" not in node.name], [t.name for t in graph.initializer]

    wanted = names(file_of(untrained(SMALL, seed=0), tmp_path))
    assert names(file_of(untrained(SMALL, seed=1), tmp_path)) == wanted
    assert names(file_of(untrained(SMALL, seed=1), tmp_path, "fp16")) == wanted
    assert len(set(wanted[0])) == len(wanted[0])
    assert "stage1.block2.attention" in wanted[0]
    assert "stage1.block2.mlp.fc1.weight" in wanted[1]


def test_every_element_writes_a_value_of_its_name(tmp_path):
    model = onnx.load(file_of(untrained(SMALL), tmp_path))
    outputs = {output for node in model.graph.node for output in node.output}
    assert {element.name for element in elements(SMALL)} - {"head"} <= outputs


def test_a_reduction_is_one_node_with_a_body(tmp_path):
    model = onnx.load(file_of(untrained(SMALL), tmp_path))
    nodes = [node for node in model.graph.node if node.domain == "resnas"]
    assert [(node.op_type, node.name) for node in nodes] == [
        ("ResidualReduction", "reduction1"),
        ("ResidualReduction", "reduction2"),
    ]
    (function,) = model.functions
    assert (function.domain, function.name) == ("resnas", "ResidualReduction")
    moves = [node for node in function.node if node.op_type == "Transpose"]
    assert len(moves) == 2, "one into the convolution's layout and one back; pooling and residual need none"
    assert Counter(node.op_type for node in function.node)["ReduceMean"] == 2


def test_operators_of_small(tmp_path):
    """What a runtime gets: nothing but the computation. A change here is a change of every user's engine."""
    model = onnx.load(file_of(untrained(PUBLISHED["small"].arch), tmp_path, "fp16"))
    assert Counter(node.op_type for node in model.graph.node) == {
        "Cast": 2,
        "Conv": 4,
        "Relu": 3,
        "Reshape": 1,
        "Transpose": 1,
        "Pad": 1,
        "LayerNormalization": 2 * 17 + 1,
        "MatMul": 6 * 17,
        "Add": 2 + 6 * 17,
        "Attention": 17,
        "Gelu": 17,
        "Slice": 2,
        "Squeeze": 1,
        "Gemm": 1,
        "ResidualReduction": 2,
    }


@pytest.mark.parametrize("arch", [SMALL, replace(SMALL, stem_mid_width=0), replace(SMALL, image_size=32, patch_size=2)])
def test_same_logits_as_the_module(tmp_path, arch):
    checkpoint = untrained(arch, seed=3)
    session = ort.InferenceSession(file_of(checkpoint, tmp_path), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).standard_normal((5, 3, arch.image_size, arch.image_size), dtype=np.float32)
    with torch.inference_mode():
        wanted = build_model(checkpoint)(torch.from_numpy(images)).numpy()
    for batch in (1, 5):
        (found,) = session.run(None, {"images": images[:batch]})
        error = np.abs(found - wanted[:batch]).max() / np.abs(wanted).max()
        assert error <= 1e-5, f"batch {batch}: largest difference {error:.1e}, tolerance 1e-05"


def test_the_model_says_what_it_is(tmp_path):
    model = onnx.load(file_of(untrained(SMALL), tmp_path))
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["resnas.precision"] == '"fp32"'
    assert properties["resnas.batch"] == '"1:8"'
    assert ArchSpec.from_json(json.loads(properties["resnas.arch"])) == SMALL
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 23), ("resnas", 1)]


def test_the_last_block_computes_the_class_token_alone(tmp_path):
    """Keys and values of all tokens, the rest of one: the same logits, for no other token is read."""
    checkpoint = untrained(SMALL, seed=2)
    known = shapes(onnx.load(file_of(checkpoint, tmp_path)))
    last, before = "stage3.block2", "stage3.block1"
    assert known[f"{last}.attention.key.matmul"][0] == ["batch", 17, 16]
    assert known[f"{last}.attention.value.matmul"][0] == ["batch", 17, 16]
    assert known[f"{last}.attention.query.matmul"][0] == ["batch", 1, 16]
    assert known[f"{last}.mlp.fc1.matmul"][0] == ["batch", 1, 48]
    assert known[f"{before}.mlp.fc1.matmul"][0] == ["batch", 17, 24]
