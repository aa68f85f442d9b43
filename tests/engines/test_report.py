"""What the report says of real logs, and of real logs in which a fallback was written."""

from __future__ import annotations

import re
from dataclasses import replace

import onnx
import pytest
from support.little_engine import LITTLE, exported, needs_builder

from resnas_deploy.arch.elements import elements
from resnas_deploy.engines.layers import parse_layers
from resnas_deploy.engines.options import BatchProfile
from resnas_deploy.engines.report import allowed_in, element_of, graph_nodes, layer_report

pytestmark = needs_builder


@pytest.fixture(scope="session")
def nodes(little):
    return graph_nodes(onnx.load(little.model), LITTLE)


@pytest.fixture(scope="session")
def quantised(tmp_path_factory, log_of):
    """A function: log and nodes of a quantised graph."""
    made = {}

    def make(precision):
        if precision not in made:
            artifact = exported(tmp_path_factory.mktemp(precision) / "q", precision=precision)
            made[precision] = log_of(artifact), graph_nodes(onnx.load(artifact.model), LITTLE)
        return made[precision]

    return make


def reported(log, nodes, precision="fp16"):
    return layer_report(parse_layers(log), nodes, LITTLE, allowed_in(precision))


def altered(log, kind, node, old, new):
    """The log in which one layer of that kind, made of that node, reads another type."""
    lines = log.splitlines(keepends=True)
    (number,) = (n for n, line in enumerate(lines) if f"Type: {kind}," in line and f"[ONNX Layer: {node}]" in line)
    inputs, rest = lines[number].split(", Constants: ", 1)
    assert f"Datatype: {old}," in inputs
    lines[number] = inputs.replace(f"Datatype: {old},", f"Datatype: {new},") + ", Constants: " + rest
    return "".join(lines)


def test_a_real_engine(log, nodes):
    found = reported(log, nodes)
    assert found.fallbacks == ()
    assert [part.element for part in found.parts] == [element.name for element in elements(LITTLE)]
    assert [part.kind for part in found.parts] == ["stem", "block", "reduction", "block", "reduction", "block", "head"]
    assert [part.fused_attention for part in found.parts] == [None, True, None, True, None, True, None]
    assert all(part.precisions == ("fp16",) for part in found.parts)
    assert sum(found.kinds.values()) == sum(found.precisions.values()) == found.kernels
    kernels = [layer for layer in parse_layers(log) if layer.is_kernel]
    assert found.kernels == len(kernels)
    assert {name for part in found.parts for name in part.names} == {layer.name for layer in kernels if layer.nodes}
    for part in found.parts:
        assert part.kernels == len(part.names) == len(set(part.names))
        assert part.shared == sum(name in other.names for name in part.names for other in found.parts if other != part)


def test_a_product_that_reads_float32_is_a_fallback(log, nodes):
    changed = altered(log, "gemm", "stage3.block1.mlp.fc2.matmul", "Half", "Float")
    found = reported(changed, nodes)
    assert len(found.fallbacks) == 1
    assert re.fullmatch(r"stage3\.block1\.mlp\.fc2\.matmul_\w+ computes in fp32", found.fallbacks[0])
    (part,) = (part for part in found.parts if part.element == "stage3.block1")
    assert part.precisions == ("fp16", "fp32")
    assert reported(changed, nodes, "fp32").fallbacks != found.fallbacks


def test_float32_between_kernels_is_a_fallback(log, nodes):
    """Of a kernel without a product or a norm."""
    (moved, *_) = re.findall(r"^Name: (__myl_AddRe\w+), .*ONNX Layer: stage2", log, re.MULTILINE)
    lines = [
        line.replace("Datatype: Half", "Datatype: Float") if line.startswith(f"Name: {moved},") else line
        for line in log.splitlines(keepends=True)
    ]
    assert reported("".join(lines), nodes).fallbacks == (f"{moved} writes fp32",)


def test_what_is_float32_on_purpose_is_no_fallback(log, nodes):
    """The input, the logits, and what the builder cuts from a head that it padded to an even number of classes."""
    wide = {
        tensor.name
        for layer in parse_layers(log)
        for tensor in (*layer.inputs, *layer.outputs)
        if tensor.precision == "fp32"
    }
    assert {"images", "logits"} < wide
    assert reported(log, nodes).fallbacks == ()


def test_a_product_with_a_norm_in_its_kernel_is_judged_by_its_weights(little, log_of, nodes):
    """For one image the builder puts the end of a norm, which is float32, and a product with a vector in one kernel."""
    log = log_of(little, profiles=(BatchProfile(1, 1, 1),))
    mixed = [
        layer
        for layer in parse_layers(log)
        if {nodes[name].op for name in layer.nodes} >= {"LayerNormalization", "MatMul"}
        and "fp32" in {tensor.precision for tensor in layer.inputs}
    ]
    assert mixed, "the builder has changed; is there another network for which it does so?"
    assert reported(log, nodes).fallbacks == ()
    assert all(part.precisions == ("fp16",) for part in reported(log, nodes).parts)
    heavy = replace(mixed[0], constants=tuple(replace(tensor, precision="fp32") for tensor in mixed[0].constants))
    assert layer_report([heavy], nodes, LITTLE, ["fp16"]).fallbacks[0] == f"{heavy.name} computes in fp32"


@pytest.mark.slow
def test_every_profile_is_reported(little, log_of, nodes):
    """Each has its kernels; the network's input has another name in those after the first."""
    log = log_of(little, profiles=(BatchProfile(1, 4, 8), BatchProfile(2, 2, 8)))
    assert "images [profile 1]" in log
    found = reported(log, nodes)
    assert found.fallbacks == ()
    assert found.kernels > 1.5 * reported(log_of(little), nodes).kernels
    wide = re.sub(r"(\[profile 1\]_\w+, LayerType: gemm.*?Datatype: )Half", r"\1Float", log)
    assert "[profile 1]" in reported(wide, nodes).fallbacks[0]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "word"), [("int8", "Int8"), ("fp8", "FP8")])
def test_quantised_products(quantised, precision, word):
    log, nodes = quantised(precision)
    found = reported(log, nodes, precision)
    assert found.fallbacks == ()
    assert found.precisions[precision] >= 4
    blocks = [part for part in found.parts if part.kind == "block"]
    assert all(set(part.precisions) == {"fp16", precision} for part in blocks)
    assert all(part.fused_attention for part in blocks)
    names = [name for name, node in nodes.items() if node.quantised]
    assert len(names) == 3 * 4
    assert {nodes[name].quantised for name in names} == {precision}

    reading = rf"^(Name: [^,]+, LayerType: (?:gemm|runtime_fusion), Inputs: .*?){word}(.*mlp\.fc1\.matmul)"
    other, count = re.subn(reading, r"\1Half\2", log, count=1, flags=re.MULTILINE)
    assert count == 1
    line, vanished = reported(other, nodes, precision).fallbacks
    assert line.endswith(f"computes in fp16 instead of {precision}")
    assert re.fullmatch(rf"no layer that computes \S+\.mlp\.fc1\.matmul reads {precision}", vanished)


def test_quantised_products_of_attention(quantised):
    """The log with the first block's fused kernel reading fp16, beside a kernel that moves fp8 and names its nodes."""
    log, nodes = quantised("fp8")
    products = {name for name, node in nodes.items() if node.factors}
    assert products == {f"stage1.block1.attention.{name}" for name in ("scores", "weighted")}
    assert {nodes[name].factors for name in products} == {"fp8"}
    (line,) = (line for line in log.splitlines() if line.startswith("Name: _gemm_mha") and "stage1.block1" in line)
    inputs, rest = line.split(", Constants: ", 1)
    moving = line.replace("Name: _gemm_mha", "Name: moved", 1).replace(inputs.split("Inputs: ")[1], _first(inputs))
    assert reported(log.replace(line, f"{line}\n{moving}"), nodes, "fp8").fallbacks == ()
    wide = f"{inputs.replace('Datatype: FP8,', 'Datatype: Half,')}, Constants: {rest}"
    assert sorted(reported(log.replace(line, f"{wide}\n{moving}"), nodes, "fp8").fallbacks) == [
        f"no layer that computes {name} reads both of its factors in fp8" for name in sorted(products)
    ]


def _first(inputs):
    """The first of a layer's inputs alone."""
    return inputs.split("Inputs: ")[1].split(" },", 1)[0] + " }]"


def test_attention_that_is_not_one_kernel(log, nodes):
    """The same log with the softmax's node taken out of the fused kernel."""
    node = "[ONNX Layer: stage2.block1.attention.softmax]"
    assert node in log
    fused = {part.element: part.fused_attention for part in reported(log.replace(node, ""), nodes).parts}
    assert [name for name, is_fused in fused.items() if is_fused is False] == ["stage2.block1"]


@pytest.mark.slow
def test_in_float32_attention_is_not_fused(tmp_path, log_of):
    artifact = exported(tmp_path / "f", precision="fp32")
    found = reported(log_of(artifact), graph_nodes(onnx.load(artifact.model), LITTLE), "fp32")
    assert {part.fused_attention for part in found.parts} == {None, False}
    assert found.fallbacks == ()


def test_the_nodes_of_a_graph(little, nodes):
    assert len(nodes) > 100
    graph = onnx.load(little.model).graph
    assert {node.name for node in graph.node if node.domain == ""} <= set(nodes)
    assert all(node.element for node in nodes.values())
    assert nodes["stage1.block1.mlp.fc1.matmul"].weighted
    assert not nodes["stage1.block1.attention.scores"].weighted
    assert nodes["reduction1.conv"].op == "Conv"
    assert nodes["input_cast"].element == "stem"
    assert nodes["output_cast"].element == "head"


def test_elements_are_told_apart_by_whole_names():
    known = ["stem", "stage1.block1", "stage1.block10", "head"]
    assert element_of("stage1.block10.norm1", known) == "stage1.block10"
    assert element_of("stage1.block1", known) == "stage1.block1"
    assert element_of("stage1.block11.norm1", known) == ""
