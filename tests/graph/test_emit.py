"""The emitted graph: valid, fully shaped, deterministic, and the module's own computation on real runtimes."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, inliner, shape_inference
from support.checks import refusal
from support.networks import arch_specs

from resnas_deploy.arch.elements import elements
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.batch import BatchRange
from resnas_deploy.graph.emit import emit
from resnas_deploy.graph.spelling import FOR_RUNTIMES, FOR_TENSORRT, GEMM, GRID, SPELLINGS, WITH_GEMM, spelling_named
from resnas_deploy.network.module import build_model
from resnas_deploy.precision import FLOATS, PRECISIONS
from resnas_deploy.weights.checkpoint import Checkpoint, untrained

SMALL = ArchSpec(
    (
        Stage(12, (Block(2, 8, 24), Block(3, 8, 16))),
        Stage(20, (Block(1, 12, 40),)),
        Stage(20, (Block(2, 16, 24), Block(1, 16, 48))),  # as wide as the stage before: nothing to pad
    ),
    classes=7,
)
RANGE = BatchRange(1, 8)


def file_of(checkpoint: Checkpoint, tmp_path, precision="fp32", batch=RANGE, spelling=FOR_RUNTIMES):
    path = tmp_path / f"{precision}.onnx"
    emit(checkpoint, PRECISIONS[precision], batch, spelling=spelling).write(path)
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


@pytest.mark.parametrize("precision", FLOATS)
@pytest.mark.parametrize("size", [224, 280, 336, 392, 14, 70, 98, 126])  # the last four have odd grids
@pytest.mark.parametrize("batch", [RANGE, BatchRange(3, 3)], ids=["dynamic", "fixed"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_valid_and_every_value_has_a_shape(tmp_path, precision, size, batch, spelling):
    path = file_of(untrained(SMALL.with_image_size(size)), tmp_path, precision, batch, spelling)
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    assert_all_known(model)
    assert_all_known(inliner.inline_local_functions(model))
    known = shapes(model)
    first = "batch" if batch is RANGE else 3
    side = size // 14
    assert known["stem"][0] == [first, 1 + side**2, 12]
    assert known["reduction1"][0][1:] == [1 + math.ceil(side / 2) ** 2, 20]
    assert known["reduction2"][0][1:] == [1 + math.ceil(side / 4) ** 2, 20]
    assert known["stage3.block2"][0][1:] == [1, 20]
    assert known["logits"] == ([first, 7], TensorProto.FLOAT)
    # Of a view as rows the inference does not know any more that the batch is the same.
    if spelling.linears != GEMM or batch is not RANGE:
        assert {known[name][0][0] for name in ("reduction1", "reduction2", "stage3.block2")} == {first}
    assert [dim.dim_value or dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim] == [
        first,
        3,
        size,
        size,
    ]


# By `structure_of` of the release before odd grids: what is emitted of even ones stays as it was, to the byte.
EVEN_GRIDS = {
    "operator+views": ("28d9608697b7a711", "7bfdb5af2e2b2e4c"),
    "operator+grid": ("04f86200a4ae21b8", "a5e35862445090d4"),
    "packed+views": ("aeb94cbceafb8e49", "a752b226bf46d2cf"),
    "packed+grid": ("d92a0374e0910e78", "911766335bf2b686"),
    "operator+views+gemm": ("5383aced4188a752", "cd1792ca127bb85a"),
}


def structure_of(checkpoint, spelling, alignment):
    """The start of the hash of all but the weights' values, which differ in their last bits by machine."""
    graph = emit(checkpoint, PRECISIONS["fp16"], RANGE, spelling=spelling, alignment=alignment)
    graph.model.producer_version = ""
    return hashlib.sha256(graph.model.SerializeToString(deterministic=True)).hexdigest()[:16]


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_graphs_of_even_grids_are_those_of_before_odd_ones(spelling):
    found = tuple(structure_of(untrained(SMALL), spelling, alignment) for alignment in (1, 8))
    assert found == EVEN_GRIDS[spelling.name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_are_valid(tmp_path, name):
    path = file_of(untrained(PUBLISHED[name].arch), tmp_path, "fp16")
    onnx.checker.check_model(path, full_check=True)
    assert_all_known(onnx.load(path))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_lower_precision_is_in_every_value_but_the_edges(tmp_path, precision, spelling):
    """Strongly typed: what stays in float32 is the input, the output, and the statistics inside LayerNormalization."""
    model = onnx.load(file_of(untrained(SMALL), tmp_path, precision, spelling=spelling))
    inlined = inliner.inline_local_functions(model)
    wanted = PRECISIONS[precision].onnx
    kept = {name for name, (_, kind) in shapes(inlined).items() if kind == TensorProto.FLOAT}
    assert kept == {"logits"}
    assert sum(node.op_type == "LayerNormalization" for node in inlined.graph.node) == 2 * 5 + 2 + 1
    kinds = Counter(tensor.data_type for tensor in inlined.graph.initializer)
    assert set(kinds) == {wanted, TensorProto.INT64}
    assert [node.op_type for node in inlined.graph.node if node.op_type == "Cast"] == ["Cast", "Cast"]
    for node in inlined.graph.node:
        if node.op_type == "LayerNormalization":
            assert not [a for a in node.attribute if a.name == "stash_type" and a.i != TensorProto.FLOAT]


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_two_emissions_are_byte_identical_and_as_protobuf_writes_them(tmp_path, spelling):
    first = file_of(untrained(SMALL), tmp_path, spelling=spelling).read_bytes()
    again = file_of(untrained(SMALL), tmp_path, spelling=spelling).read_bytes()
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


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_every_element_writes_a_value_of_its_name(tmp_path, spelling):
    model = onnx.load(file_of(untrained(SMALL), tmp_path, spelling=spelling))
    outputs = {output for node in model.graph.node for output in node.output}
    assert {element.name for element in elements(SMALL)} - {"head"} <= outputs


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_reduction_is_one_node_with_a_body_of_its_own(tmp_path, spelling):
    model = onnx.load(file_of(untrained(SMALL), tmp_path, spelling=spelling))
    nodes = [node for node in model.graph.node if node.domain == "resnas"]
    assert [(node.op_type, node.name) for node in nodes] == [
        ("ResidualReduction1", "reduction1"),
        ("ResidualReduction2", "reduction2"),
    ]
    names = [(function.domain, function.name) for function in model.functions]
    assert names == [("resnas", "ResidualReduction1"), ("resnas", "ResidualReduction2")]
    for function in model.functions:
        operators = Counter(node.op_type for node in function.node)
        assert not function.attribute, "TensorRT ignores what is handed on"
        if spelling.reduction == GRID:
            assert (operators["Conv"], operators["Mean"], operators["ReduceMean"]) == (2, 1, 0)
            assert operators["Transpose"] == 3, "into the convolutions' layout, and each back"
        else:
            assert (operators["Conv"], operators["MatMul"], operators["ReduceMean"]) == (1, 1, 2)
            assert operators["Transpose"] == 2, "into the convolution's layout and back; pooling and residual need none"


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
        "ResidualReduction1": 1,
        "ResidualReduction2": 1,
    }


def test_operators_of_small_for_tensorrt(tmp_path):
    model = onnx.load(file_of(untrained(PUBLISHED["small"].arch), tmp_path, "fp16", spelling=FOR_TENSORRT))
    assert Counter(node.op_type for node in model.graph.node) == {
        "Cast": 2,
        "Conv": 4,
        "Relu": 3,
        "Reshape": 1 + 2 * 17,
        "Transpose": 1 + 3 * 17,
        "Pad": 1,
        "LayerNormalization": 2 * 17 + 1,
        "MatMul": 6 * 17,
        "Add": 2 + 6 * 17,
        "Split": 17,
        "Softmax": 17,
        "Gelu": 17,
        "Slice": 3,
        "Concat": 1,
        "Squeeze": 1 + 3 * 17,
        "Gemm": 1,
        "ResidualReduction1": 1,
        "ResidualReduction2": 1,
    }


@pytest.mark.parametrize("arch", [SMALL, replace(SMALL, stem_mid_width=0), replace(SMALL, image_size=32, patch_size=2)])
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_same_logits_as_the_module(tmp_path, arch, spelling):
    assert_same_logits(untrained(arch, seed=3), file_of(untrained(arch, seed=3), tmp_path, spelling=spelling))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arch=arch_specs(), seed=st.integers(0, 2**32 - 1))
def test_any_small_network_has_the_modules_logits_in_every_spelling(tmp_path, arch, seed):
    checkpoint = shaken(untrained(arch, seed=0), seed)
    assume(conditioning(checkpoint) <= 2e-6)  # a fifth of what is tolerated
    for spelling in SPELLINGS.values():
        assert_same_logits(checkpoint, file_of(checkpoint, tmp_path, spelling=spelling))


def conditioning(checkpoint):
    """How far rounding alone moves the logits, relative to the largest: in the module, and of all that a layer takes.

    A norm of two or three channels may amplify it, whoever computes it and in whatever order; folding rounds other
    weights, and a spelling other sums. So weights, and what each layer reads and writes, are moved by a last place in
    float64: one pass in float32 is a single draw of that, which once was at 2e-6 where a spelling's was at 1.7e-5.
    """
    images, random = torch.from_numpy(noise(checkpoint)), torch.Generator().manual_seed(0)

    def rounded(x):
        return x * (1 + 2.0**-24 * torch.randn(x.shape, generator=random, dtype=torch.float64))

    with torch.inference_mode():
        wanted = build_model(checkpoint).double()(images.double())
        found = [build_model(checkpoint)(images)]
        for _ in range(4):
            model = build_model(checkpoint).double()
            for weight in model.parameters():
                weight.copy_(rounded(weight))
            for layer in (each for each in model.modules() if not list(each.children())):
                layer.register_forward_pre_hook(lambda _, inputs: tuple(map(rounded, inputs)))
                layer.register_forward_hook(lambda _, inputs, output: rounded(output))
            found.append(model(images.double()))
    return max(float((logits - wanted).abs().max() / wanted.abs().max()) for logits in found)


def noise(checkpoint):
    size = checkpoint.arch.image_size
    return np.random.default_rng(0).standard_normal((5, 3, size, size), dtype=np.float32)


def shaken(checkpoint, seed):
    """No bias or shift is 0, no scale 1."""
    random = np.random.default_rng(seed)

    def moved(name, tensor):
        if name.endswith("running_var"):
            return tensor
        return (tensor + 0.3 * random.standard_normal(tensor.shape)).astype(np.float32)

    tensors = {name: moved(name, tensor) for name, tensor in checkpoint.tensors.items()}
    return Checkpoint(checkpoint.arch, tensors, checkpoint.provenance)


def assert_same_logits(checkpoint, path):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    images = noise(checkpoint)
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


def test_the_packed_last_block_asks_for_the_class_token_alone(tmp_path):
    known = shapes(onnx.load(file_of(untrained(SMALL), tmp_path, spelling=FOR_TENSORRT)))
    last, before = "stage3.block2", "stage3.block1"
    assert known[f"{last}.attention.qkv.matmul"][0] == ["batch", 17, 48]
    assert known[f"{last}.attention.scores"][0] == ["batch", 1, 1, 17]
    assert known[f"{last}.mlp.fc1.matmul"][0] == ["batch", 1, 48]
    assert known[f"{before}.attention.scores"][0] == ["batch", 2, 17, 17]


def test_the_spellings_have_names():
    assert list(SPELLINGS) == ["operator+views", "operator+grid", "packed+views", "packed+grid", "operator+views+gemm"]
    assert all(spelling_named(name).name == name for name in SPELLINGS)
    assert len({str(spelling.describe()) for spelling in SPELLINGS.values()}) == 5
    assert f"must be one of {', '.join(SPELLINGS)}, found 'best'" in refusal(lambda: spelling_named("best"))


def test_with_gemm_every_bias_of_a_block_is_inside_its_product(tmp_path):
    """An addition is of two values that were computed: nothing goes over memory once more for a bias."""
    model = onnx.load(file_of(untrained(SMALL), tmp_path, spelling=WITH_GEMM))
    weights = {tensor.name for tensor in model.graph.initializer}
    in_blocks = [node for node in model.graph.node if "block" in node.name]
    assert not [node.name for node in in_blocks if node.op_type == "Add" and weights & set(node.input)]
    counts = Counter(node.op_type for node in in_blocks)
    assert counts == {
        "LayerNormalization": 2 * 5,
        "Gemm": 4 * 5,
        "MatMul": 2 * 5,
        "Add": 2 * 5,
        "Gelu": 5,
        "Attention": 5,
        "Reshape": 6 * 4 + 5,  # the last block asks by its class token alone
        "Slice": 2,
    }
    known = shapes(model)
    assert known["stage3.block1.mlp.fc1.gemm"][0][1:] == [24]
    assert known["stage3.block1"][0][1:] == [17, 20]


def test_onnx_runtime_leaves_gemm_and_gelu_as_they_are(tmp_path):
    """Of the usual graph it makes BiasGelu, unless it is told not to, as our sessions are."""
    made = {spelling: optimised(tmp_path, spelling) for spelling in (FOR_RUNTIMES, WITH_GEMM)}
    assert (made[FOR_RUNTIMES]["BiasGelu"], made[FOR_RUNTIMES]["Gelu"]) == (5, 0)
    assert (made[WITH_GEMM]["BiasGelu"], made[WITH_GEMM]["Gelu"], made[WITH_GEMM]["Gemm"]) == (0, 5, 4 * 5 + 1)


def optimised(folder, spelling):
    """Return how often each operator is in what ONNX Runtime makes of a graph by its own settings."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 4  # it warns that the file is for this machine alone
    ort.InferenceSession(
        file_of(untrained(SMALL), folder, spelling=spelling), options, providers=["CPUExecutionProvider"]
    )
    return Counter(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)
