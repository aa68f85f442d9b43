"""The builder's list of layers, from an excerpt of a real log and from real logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.little_engine import needs_builder

from resnas_deploy.engines.layers import Layer, Tensor, parse_layers
from resnas_deploy.errors import BadInput

EXCERPT = (Path(__file__).parent / "builder_log.txt").read_text()
KINDS = [
    "shape_call",
    "kgen",
    "correlation",
    "gemm",
    "kgen",
    "kgen",
    "kgen",
    "runtime_fusion",
    "runtime_fusion",
    "kgen",
]


def test_an_excerpt_of_a_real_log():
    layers = parse_layers(EXCERPT)
    assert [layer.kind for layer in layers] == KINDS
    assert [layer.is_kernel for layer in layers] == [False] + [True] * 9
    assert layers[0] == Layer(layers[0].name, "shape_call", (), (), (), ())
    assert layers[1].inputs == (Tensor("images", (-1, 3, 112, 112), "fp32"),)
    assert layers[1].outputs[0].precision == "fp16"
    assert layers[1].nodes[0] == "input_cast"
    fused = next(layer for layer in layers if layer.name.startswith("_gemm_mha"))
    assert {"stage1.block1.attention.scores", "stage1.block1.attention.softmax"} <= set(fused.nodes)
    assert [tensor.precision for tensor in fused.inputs] == ["fp16"] * 3
    gelu = layers[7]
    assert gelu.constants == (Tensor(gelu.constants[0].name, (32, 64), "fp16"), gelu.constants[1])
    assert gelu.nodes == ("stage1.block1.mlp.gelu", "stage1.block1.mlp.fc1.bias_add", "stage1.block1.mlp.fc1.matmul")
    assert layers[-1].outputs == (Tensor("logits", (-1, 5), "fp32"),)


def line(name, tensor="x", dims="1,2", kind="Half", node="a"):
    described = f"{{ Name: {tensor}, Dimensions: [{dims}], Strides: [2,1], StrideOrder: [1,0], Datatype: {kind}, F }}"
    return (
        f"Name: {name}, LayerType: gemm, Inputs: [ {described}], Constants: [], Outputs: [ {described}], "
        f"TacticName: , StreamId: 0, Metadata: [ONNX Layer: {node}]"
    )


def test_the_last_list_counts():
    log = f"VERBOSE Layers:\n{line('old')}\n\nVERBOSE Layers:\n{line('new')}\n\n{line('after')}\n"
    assert [layer.name for layer in parse_layers(log)] == ["new"]


def test_names_are_those_of_the_graph():
    (layer,) = parse_layers(f"Layers:\n{line('n', tensor='images [profile 1]', node='reduction1.conv__1')}\n\n")
    assert layer.inputs[0].name == "images"
    assert layer.nodes == ("reduction1.conv",)


def test_types_that_are_not_known_keep_the_builders_word():
    (layer,) = parse_layers(f"Layers:\n{line('n', kind='FP4')}\n\n")
    assert layer.inputs[0].precision == "FP4"


@pytest.mark.parametrize(("kind", "is_kernel"), [("Half", True), ("Int32", True), ("Bool", True), ("Int64", False)])
def test_what_only_computes_shapes_is_no_kernel(kind, is_kernel):
    assert parse_layers(f"Layers:\n{line('n', kind=kind)}\n\n")[0].is_kernel == is_kernel


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", "must have a list of layers"),
        ("VERBOSE nothing\n", "must have a list of layers"),
        (f"Layers:\n{line('n')}\n", "must end with an empty line"),
        (
            f"Layers:\n{line('n')}\nName: cut, LayerType: ge\n\n",
            "line 3 of a builder's log: a layer must have a name, a type, inputs and outputs",
        ),
        (f"Layers:\n{line('n', dims='1,x')}\n\n", "must be whole numbers"),
    ],
)
def test_what_is_no_whole_list(log, said):
    assert said in refusal(lambda: parse_layers(log))


@settings(max_examples=300)
@given(st.text() | st.text().map("Layers:\n".__add__) | st.text().map(lambda text: f"Layers:\n{line('n', text)}\n\n"))
def test_any_text_is_layers_or_refused(text):
    try:
        parse_layers(text)
    except BadInput as error:
        assert str(error).isprintable()


@settings(max_examples=300)
@given(
    st.integers(0, len(EXCERPT)),
    st.text(st.sampled_from("[]{},: \nName0-9Inputs"), max_size=20) | st.text(max_size=5),
    st.integers(0, 40),
)
def test_a_damaged_real_log_is_layers_or_refused(place, text, length):
    try:
        parse_layers(EXCERPT[:place] + text + EXCERPT[place + length :])
    except BadInput as error:
        assert str(error).isprintable()


def test_a_list_that_is_cut_short_is_never_a_shorter_list():
    end = EXCERPT.index("\n\n")
    for place in range(len("VERBOSE"), end, 7):
        with pytest.raises(BadInput):
            parse_layers(EXCERPT[:place])
    assert len(parse_layers(EXCERPT[: end + 2])) == 10


@needs_builder
def test_a_real_log_cut_anywhere(log):
    whole = parse_layers(log)
    assert len(whole) > 40
    begin = log.rindex("Layers:\n")
    end = log.index("\n\n", begin)
    for place in [*range(0, begin, max(1, begin // 20)), *range(begin + 8, end, (end - begin) // 40)]:
        with pytest.raises(BadInput):
            parse_layers(log[:place])
    assert parse_layers(log[: end + 2]) == whole
