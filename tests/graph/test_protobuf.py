"""The streamed bytes are those of protobuf."""

from __future__ import annotations

import io
import weakref

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from resnas_deploy.errors import BadInput
from resnas_deploy.graph.nodes import Weight
from resnas_deploy.graph.protobuf import write_model

NAMES = st.lists(st.text(min_size=1, max_size=200), unique=True, max_size=4)
SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple)


def weight(name, shape, make=None):
    def count():
        return np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)

    return Weight(name, shape, TensorProto.FLOAT, np.dtype(np.float32), make or count)


def model(text=""):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [value], doc_string=text)
    return helper.make_model(graph, producer_name="test", functions=[])


@given(NAMES, st.data(), st.text(max_size=300))
def test_bytes_are_those_of_protobuf(names, data, text):
    weights = [weight(name, data.draw(SHAPES)) for name in names]
    proto = model(text)
    helper.set_model_props(proto, {"key": text})
    file = io.BytesIO()
    written = write_model(proto, weights, file)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(w.make(), w.name) for w in weights)
    assert file.getvalue() == proto.SerializeToString(deterministic=True)
    assert written == len(file.getvalue())


def test_each_weight_is_made_once_and_let_go():
    made, alive = [], []

    def maker(name):
        def make():
            assert not [ref for ref in alive if ref() is not None], "an earlier weight is still in memory"
            values = np.ones((4,), np.float32)
            made.append(name)
            alive.append(weakref.ref(values))
            return values

        return make

    write_model(model(), [weight(name, (4,), maker(name)) for name in "abc"], io.BytesIO())
    assert made == list("abc")


def test_a_model_past_two_gigabytes_is_refused_before_a_byte_is_written():
    file = io.BytesIO()
    with pytest.raises(BadInput, match=r"under 2 GiB, found 4\.0 GiB"):
        write_model(model(), [weight("w", (2**30,), lambda: pytest.fail("made"))], file)
    assert not file.getvalue()


def test_a_weight_that_is_not_what_it_was_declared_is_an_error():
    with pytest.raises(ValueError, match="declared"):
        write_model(model(), [weight("w", (4,), lambda: np.ones((5,), np.float32))], io.BytesIO())
