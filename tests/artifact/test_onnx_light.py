"""Graphs without their large weights: what protobuf makes of the whole file, less these, and never more than that."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from resnas_deploy.artifact.artifact import MODEL
from resnas_deploy.artifact.onnx_light import light_of, read_light, without_weights
from resnas_deploy.errors import BadInput

WHAT_DAMAGE_IS = (ValueError, DecodeError, BadInput, checker.ValidationError)
LARGE = np.arange(4096, dtype=np.float32)


def light(content):
    return read_light(io.BytesIO(content), len(content))


def model(*values):
    """A model of one operator with constants in it."""
    nodes = [helper.make_node("Identity", ["x"], ["y"], name="only")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    constants = [numpy_helper.from_array(value, f"w{number}") for number, value in enumerate(values)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)


def stripped(content, numbers):
    found = ModelProto.FromString(content)
    for number in numbers:
        found.graph.initializer[number].ClearField("raw_data")
    return found


def test_is_the_whole_graph_less_the_values_of_large_weights(mini_artifact):
    content = (mini_artifact / MODEL).read_bytes()
    found = light(content)
    whole = ModelProto.FromString(content)
    large = {number for number, tensor in enumerate(whole.graph.initializer) if len(tensor.raw_data) > 8192}
    assert found.valueless == large
    assert large
    assert found.model == stripped(content, large)
    assert found.model == light_of(whole).model
    found.check()
    assert len(found.model.SerializeToString()) < len(content) / 5


def test_small_constants_stay():
    found = light(model(LARGE, np.arange(1024)).SerializeToString())
    assert found.valueless == {0}
    assert (numpy_helper.to_array(found.model.graph.initializer[1]) == np.arange(1024)).all()


@pytest.mark.parametrize("field", ["raw_data", "float_data"])
def test_shapes_are_inferred_without_values_in_any_field(field):
    whole = model(LARGE)
    if field == "float_data":
        tensor = whole.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.float_data.extend(LARGE)
    before = whole.SerializeToString()
    assert not getattr(without_weights(whole).graph.initializer[0], field)
    assert whole.SerializeToString() == before
    assert list(without_weights(whole).graph.initializer[0].dims) == [4096]


def test_what_protobuf_merges_is_merged():
    """A file may have a model's graph in parts; a weight may say its values twice, of which the last count."""
    first, second = model(LARGE).SerializeToString(), model(LARGE, LARGE).SerializeToString()
    found = light(first + second)
    assert found.valueless == {0, 1, 2}
    assert found.model == stripped(first + second, {0, 1, 2})


def twice(first, second):
    """A model whose one weight has values twice, its shape that of the second."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, [len(second)], second.tobytes(), raw=True)
    content = TensorProto(raw_data=first.tobytes()).SerializeToString() + weight.SerializeToString()
    inner = b"\x2a" + varint(len(content)) + content  # field 5 of a graph
    whole = model()
    return whole.SerializeToString() + b"\x3a" + varint(len(inner)) + inner  # field 7 of a model


def varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


@pytest.mark.parametrize("first", [LARGE[:2], LARGE[:2500], LARGE])
@pytest.mark.parametrize("second", [LARGE[:3], LARGE])
def test_of_values_that_are_there_twice_the_last_count(first, second):
    content = twice(first, second)
    assert ModelProto.FromString(content).graph.initializer[0].raw_data == second.tobytes()
    found = light(content)
    found.check()
    kept = second.tobytes() if len(second) == 3 else b""
    assert found.model.graph.initializer[0].raw_data == kept


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensor: tensor.dims.append(2), "must have 32768 bytes by its shape, it has 16384"),
        (lambda tensor: setattr(tensor, "raw_data", tensor.raw_data[:-1]), "must have 16384 bytes .* has 16383"),
        (lambda tensor: setattr(tensor, "data_type", TensorProto.STRING), "must be numbers"),
        (lambda tensor: tensor.float_data.append(1), "has values twice"),
        (lambda tensor: tensor.dims.extend([-1, -1]), "must be numbers with a shape"),
    ],
)
def test_a_weight_of_other_bytes_than_its_shape_is_refused(change, said):
    whole = model(LARGE)
    change(whole.graph.initializer[0])
    with pytest.raises((ValueError, BadInput), match=said):
        light(whole.SerializeToString())
    with pytest.raises((ValueError, BadInput), match=said):
        light_of(whole)


def test_the_checker_sees_everything_but_the_values(mini_artifact):
    whole = onnx.load(mini_artifact / MODEL)
    whole.graph.initializer.append(whole.graph.initializer[0])
    largest = max(range(len(whole.graph.initializer)), key=lambda n: len(whole.graph.initializer[n].raw_data))
    whole.graph.initializer[largest].name = whole.graph.node[0].output[0]
    with pytest.raises(checker.ValidationError):
        light(whole.SerializeToString()).check()


def test_a_file_that_is_cut_short_anywhere_is_damaged():
    """Or ends where a field does: then it is another model, which the checker refuses."""
    content = model(LARGE, np.arange(3)).SerializeToString()
    for end in (*range(100), *range(100, len(content) - 200, 997), *range(len(content) - 200, len(content))):
        try:
            found = light(content[:end])
        except WHAT_DAMAGE_IS:
            continue
        assert found.model == stripped(content[:end], found.valueless)


def test_bytes_that_are_changed_anywhere_are_no_fault_of_ours():
    content, rng = model(LARGE, np.arange(3)).SerializeToString(), np.random.default_rng(0)
    heads = [*range(60), *range(len(content) - 150, len(content))]
    for _ in range(2000):
        changed = bytearray(content)
        for place in rng.choice(heads, 3):
            changed[place] = rng.integers(256)
        try:
            found = light(bytes(changed))
            whole = ModelProto.FromString(bytes(changed))
        except WHAT_DAMAGE_IS:
            continue
        for number in found.valueless:
            whole.graph.initializer[number].ClearField("raw_data")
        assert found.model.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)
