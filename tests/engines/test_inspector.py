"""Listings of the engine inspector and of builders' logs, by version: none hides a product in float32."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.checks import refusal
from support.layer_listings import FORMATS
from support.little_engine import LITTLE, needs_builder

from resnas_deploy.engines.inspector import parse_inspection
from resnas_deploy.engines.layers import Layer, Tensor, parse_layers
from resnas_deploy.engines.report import GraphNode, allowed_in, graph_nodes, layer_report
from resnas_deploy.errors import BadInput

LISTINGS = Path(__file__).parent / "listings"
TEN, ELEVEN = ((LISTINGS / f"tensorrt-{major}.json").read_text() for major in (10, 11))
LOG_OF_TEN = (LISTINGS / "tensorrt-10.txt").read_text()
FC1 = "stage1.block1.mlp.fc1.matmul"
NODES = {
    "input_cast": GraphNode("stem", "Cast", False, ""),
    "stem.conv1": GraphNode("stem", "Conv", True, ""),
    FC1: GraphNode("stage1.block1", "MatMul", True, ""),
}
READ = {
    "10 json": lambda: parse_inspection([TEN]),
    "11 json": lambda: parse_inspection([ELEVEN]),
    "10 log": lambda: parse_layers(LOG_OF_TEN),
}


def fallbacks(layers, nodes=NODES, precision="fp16"):
    return layer_report(layers, nodes, LITTLE, allowed_in(precision)).fallbacks


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_a_good_engine_is_accepted(read):
    """Factors of one element are float32, and so are the images until they are cast."""
    layers = read()
    assert fallbacks(layers) == ()
    (product,) = (layer for layer in layers if layer.kind == "gemm")
    assert [tensor.precision for tensor in product.inputs] == ["fp16"]
    assert {tensor.precision for tensor in product.constants} == {"fp16", "fp32"}
    assert product.nodes[0] == FC1
    assert {node for layer in layers for node in layer.nodes} >= set(NODES)


def test_the_log_and_the_inspector_of_one_version_say_the_same():
    assert READ["10 log"]() == READ["10 json"]()


@pytest.mark.parametrize("read", READ.values(), ids=READ)
@pytest.mark.parametrize("where", ["inputs", "constants"])
def test_operands_in_float32_are_found(read, where):
    for product in (layer for layer in read() if layer.kind in ("gemm", "correlation", "CaskConvolution")):
        wide = replace(product, **{where: tuple(replace(each, precision="fp32") for each in getattr(product, where))})
        changed = [wide if layer == product else layer for layer in read()]
        assert fallbacks(changed) == (f"{product.name} computes in fp32",)


@pytest.mark.parametrize("read", READ.values(), ids=READ)
def test_products_that_no_layer_names_are_found(read):
    layers = [replace(layer, nodes=()) if layer.kind == "gemm" else layer for layer in read()]
    assert fallbacks(layers) == (f"no layer says that it computes {FC1}",)


def test_a_region_that_is_not_opened_up_proves_nothing():
    (gemm,) = (layer for layer in READ["10 json"]() if layer.kind == "gemm")
    layers = [*READ["10 json"](), replace(gemm, name="{ForeignNode[stage1...head]}", kind="Myelin")]
    assert fallbacks(layers) == ("{ForeignNode[stage1...head]} is one layer whose inside is not told",)


def test_tf32_is_told_by_the_kernels_name():
    layers = [
        replace(layer, inputs=tuple(replace(tensor, precision="fp32") for tensor in layer.inputs), constants=())
        for layer in READ["10 json"]()
    ]
    layers = [replace(layer, tactic="sm80_xmma_gemm_f32f32_tf32f32_f32_nn_n") for layer in layers]
    (_, line) = fallbacks(layers, precision="fp32")
    assert line == f"{FC1}_myl9_2 computes in TF32, with sm80_xmma_gemm_f32f32_tf32f32_f32_nn_n"
    assert layer_report(layers, NODES, LITTLE, ["fp32"], tf32=True).fallbacks == ()


def test_types_that_are_not_told_are_taken_from_another_profiles_listing():
    unknown = TEN.replace("Channel major FP16 format where channel % 8 == 0", "N/A due to dynamic shapes")
    assert "of the unknown type N/A due to dynamic shapes" in fallbacks(parse_inspection([unknown]))[0]
    assert parse_inspection([unknown, TEN]) == parse_inspection([TEN])


def test_a_layer_that_differs_by_profile_is_judged_in_each():
    said = json.loads(ELEVEN)
    said["Layers"][3]["Inputs"][0]["Datatype"] = "Float"
    found = fallbacks(parse_inspection([ELEVEN, json.dumps(said)]))
    assert found == ("fc1_myl0_7 computes in fp32",)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "must be inspected once a profile"),
        ([""], "listing 1 of the engine inspector must be JSON"),
        ([TEN, "[]"], "listing 2 of the engine inspector must be an object with a list of Layers"),
        (['{"Layers": []}'], "must be an object with a list of Layers"),
        (['{"Layers": ["conv"]}'], "layer 1 must be described, found its name alone, 'conv': the engine must be built"),
        (["[" * 100_000], "must be JSON"),
        ([TEN.replace('"LayerType": "gemm",', "")], f"layer 5, '{FC1}_myl9_2' must have a LayerType"),
        ([TEN.replace('"Dimensions"', '"Dims"', 1)], "inputs[0] must have Dimensions, a list of whole numbers"),
        ([TEN.replace('"Format/Datatype"', '"Format"', 1)], "inputs[0] must have a Format/Datatype, a text"),
        ([TEN.replace('"Count": 648', '"Count": "?"')], "Weights must have a Type and a Count"),
        ([ELEVEN.replace('"Datatype": "Half"', '"Datatype": 1', 1)], "must have a Datatype, a text, found 1"),
    ],
)
def test_what_is_no_listing_is_refused_by_name(texts, said):
    assert said in refusal(lambda: parse_inspection(texts))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("Format/Datatype: Half", "Format: Half", "must have a type"),
        ("Dimensions: [24,64]", "Dims: [24,64]", "its tensors must each have a name, dimensions and a type"),
        ("Outputs: ", "Out: ", "a layer must have a name, a type, inputs and outputs"),
    ],
)
def test_a_line_of_a_log_that_is_not_understood_is_refused_by_number(old, new, said):
    start = LOG_OF_TEN.index("Name: stage1.block1")
    line = refusal(lambda: parse_layers(LOG_OF_TEN[:start] + LOG_OF_TEN[start:].replace(old, new)))
    assert line.startswith("line 7 of a builder's log")
    assert said in line


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)
FIELDS = "Name LayerType Inputs Outputs Constants Weights Metadata Type Count Dimensions Datatype Format/Datatype"
objects = st.dictionaries(
    st.sampled_from(FIELDS.split()),
    st.deferred(lambda: json_values | objects | st.lists(objects, max_size=2)),
    max_size=6,
)


@settings(max_examples=200)
@given(st.text() | st.lists(objects, max_size=3).map(lambda layers: json.dumps({"Layers": layers})))
def test_anything_is_layers_or_refused(text):
    try:
        found = parse_inspection([text])
    except BadInput as error:
        assert str(error).isprintable()
        return
    assert all(isinstance(layer, Layer) for layer in found)


@settings(max_examples=200)
@given(st.sampled_from([TEN, ELEVEN]), st.integers(0, 6000), st.text(max_size=8), st.integers(0, 40))
def test_a_damaged_listing_is_layers_or_refused(listing, place, text, length):
    try:
        parse_inspection([listing[:place] + text + listing[place + length :]])
    except BadInput as error:
        assert str(error).isprintable()


@pytest.fixture(scope="module")
def real(log, little):
    """The layers of a real engine, and the nodes of its graph."""
    return parse_layers(log), graph_nodes(onnx.load(little.model), LITTLE)


@needs_builder
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
def test_a_real_engine_in_each_format_is_accepted(real, form):
    layers, nodes = real
    assert fallbacks(form(layers), nodes) == ()


@needs_builder
@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_product_in_float32_is_found_in_each_format(real, form, data):
    """Whichever product it is: what it reads, its weights and what it writes are float32."""
    layers, nodes = real
    products = [layer for layer in layers if layer.is_kernel and is_product(layer, nodes)]
    chosen = data.draw(st.sampled_from(products))

    def widened(tensors):
        return tuple(Tensor(each.name, each.dims, "fp32") for each in tensors)

    wide = replace(
        chosen,
        inputs=widened(chosen.inputs),
        constants=widened(chosen.constants),
        outputs=widened(chosen.outputs),
    )
    found = fallbacks(form([wide if layer is chosen else layer for layer in layers]), nodes)
    assert any(line.startswith(f"{chosen.name} ") for line in found), found


def is_product(layer, nodes):
    return any(nodes[name].op in ("MatMul", "Gemm", "Conv") for name in layer.nodes if name in nodes)
