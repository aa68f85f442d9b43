"""Peak memory from the architecture alone, against a walk over the graph that is really emitted."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
import pytest
from onnx import inliner, shape_inference
from support.small_data import SPACE
from support.small_spaces import ODD_FOUR_STAGES, ODD_TWO_STAGES

from resnas_deploy.arch.cost import parameters
from resnas_deploy.arch.memory import memory_bytes, peak_activation_bytes, stored_weight_bytes
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.scheme import scheme_for
from resnas_deploy.graph.emit import emit
from resnas_deploy.measuring.latency.networks import emitted as timed_network
from resnas_deploy.precision import PRECISIONS
from resnas_deploy.weights.checkpoint import untrained

VIEWS = ("Reshape", "Squeeze")  # their outputs are their inputs' memory
BYTES = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.FLOAT16: 2, onnx.TensorProto.BFLOAT16: 2}


def emitted(arch, batch, precision, path):
    emit(untrained(arch), PRECISIONS[precision], BatchRange(batch, batch)).write(path)
    return shape_inference.infer_shapes(inliner.inline_local_functions(onnx.load(path))).graph


def walked_peak(graph):
    """The most bytes of activations that are alive at a node of the graph."""
    values = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.output, *graph.input)}
    shapes = {name: [dim.dim_value for dim in found.shape.dim] for name, found in values.items()}
    owner = {value.name: value.name for value in graph.input}
    for node in graph.node:
        for name in node.output:
            if node.op_type != "Constant":
                owner[name] = owner[node.input[0]] if node.op_type in VIEWS else name
    size = {name: prod(shapes[name]) * BYTES[values[name].elem_type] for name in set(owner.values())}
    last = {owner[name]: number for number, node in enumerate(graph.node) for name in node.input if name in owner}
    last |= {owner[value.name]: len(graph.node) for value in graph.output}
    alive, most = {value.name for value in graph.input}, 0
    for number, node in enumerate(graph.node):
        alive |= {owner[name] for name in node.output if name in owner}
        scratch = 0
        if node.op_type == "Attention":  # its scores, which are no value of the graph
            (images, asking, _), (_, tokens, _) = (shapes[name] for name in node.input[:2])
            heads = next(attribute.i for attribute in node.attribute if attribute.name == "q_num_heads")
            scratch = images * heads * asking * tokens * BYTES[values[node.input[0]].elem_type]
        most = max(most, scratch + sum(size[name] for name in alive))
        alive = {name for name in alive if last.get(name, -1) > number}
    return most


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("batch", [1, 3])
def test_it_is_what_a_walk_over_the_emitted_graph_finds(precision, batch, tmp_path):
    rng = np.random.default_rng(0)
    for arch in (SPACE.widest().arch, SPACE.narrowest().arch, *(SPACE.sample(rng).arch for _ in range(6))):
        graph = emitted(arch, batch, precision, tmp_path / "model.onnx")
        assert peak_activation_bytes(arch, batch, precision) == walked_peak(graph)


MIXED = ("global", "window2", "window3", "window5", "pooled2", "pooled3")


@pytest.mark.parametrize("mixer", MIXED)
@pytest.mark.parametrize("shape", [(1, 2, 4), (1, 2, 32), (6, 8, 4)], ids=["narrow", "hidden", "attention"])
def test_it_is_so_with_every_mixer_on_grids_that_it_divides_and_does_not(mixer, shape, tmp_path):
    """Whatever the peak is at: what attention needs, or the MLP."""
    block = Block(*shape, mixer)
    for width in (2, 24):
        arch = ArchSpec((Stage(width, (block,) * 2), Stage(width, (block,) * 2)), 3, 24, 2, 0)  # 12 and 6 a side
        graph = emitted(arch, 2, "fp32", tmp_path / "model.onnx")
        assert peak_activation_bytes(arch, 2) == walked_peak(graph)


def test_it_is_so_for_a_published_network_at_another_image_size(tmp_path):
    arch = PUBLISHED["tiny"].arch.with_image_size(280)
    assert peak_activation_bytes(arch) == walked_peak(emitted(arch, 1, "fp32", tmp_path / "model.onnx"))


@pytest.mark.parametrize("space", [ODD_TWO_STAGES, ODD_FOUR_STAGES], ids=lambda space: space.name)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_it_is_so_on_odd_grids(space, precision, tmp_path):
    for arch in (space.widest().arch, space.narrowest().arch):
        assert peak_activation_bytes(arch, 2, precision) == walked_peak(emitted(arch, 2, precision, tmp_path / "m"))


@pytest.mark.parametrize("width", [8, 64])
def test_it_is_so_where_the_reduction_of_an_odd_grid_is_the_peak(width, tmp_path):
    stages = (Stage(8, (Block(1, 1, 1),)), Stage(width, (Block(1, 1, 1),)))
    arch = ArchSpec(stages, classes=2, image_size=22, patch_size=2, stem_mid_width=0)
    assert peak_activation_bytes(arch) == walked_peak(emitted(arch, 1, "fp32", tmp_path / "m"))


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_the_weights_of_products_are_those_that_a_quantised_graph_holds(precision, tmp_path):
    weights = untrained(SPACE.widest().arch)
    graph = onnx.load(timed_network(weights, precision, 1, tmp_path).model).graph
    held = sum(prod(tensor.dims) for tensor in graph.initializer if tensor.data_type == PRECISIONS[precision].onnx)
    zeros = sum(prod(tensor.dims) for tensor in graph.initializer if tensor.name.endswith("_zero_point"))
    zeros -= sum(tensor.data_type == onnx.TensorProto.UINT8 for tensor in graph.initializer)
    around = PRECISIONS[scheme_for(precision, False).around].bytes
    others = parameters(weights.arch) * around - stored_weight_bytes(weights.arch, precision)
    assert others == (held - zeros) * (around - 1)


def test_weights_come_on_top_and_are_a_byte_each_in_quantised_products():
    arch = SPACE.widest().arch
    assert memory_bytes(arch, 2, "fp16") == 2 * parameters(arch) + peak_activation_bytes(arch, 2, "fp16")
    assert parameters(arch) < stored_weight_bytes(arch, "int8") < stored_weight_bytes(arch, "fp32")
    assert stored_weight_bytes(arch, "fp8") < stored_weight_bytes(arch, "fp16")
    assert peak_activation_bytes(arch, 1, "int8") == peak_activation_bytes(arch, 1, scheme_for("int8", False).around)
    assert peak_activation_bytes(arch, 1, "fp8") == peak_activation_bytes(arch, 1, scheme_for("fp8", False).around)
