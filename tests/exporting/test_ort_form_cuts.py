"""Any cut of any QDQ graph computes in ONNX Runtime's own operators what it computed, to the last bit, or stays.

Scales are powers of two and biases multiples of the sums' steps, so that no sum is rounded, in whatever order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from resnas_deploy.artifact.ort_operators import DOMAIN, PRODUCT, check_operators
from resnas_deploy.exporting.ort_form import for_onnxruntime

WIDTH = ROWS = 8  # so that activations can be multiplied with themselves
STEP, WEIGHT_STEP = 2.0**-4, 2.0**-5
IR_VERSIONS = {10: 5, 13: 8, 17: 8, 19: 9, 21: 10, 23: 11}  # by opset, of their releases (onnx/helper.py)


@dataclass(frozen=True)
class Layer:
    """A product with weights, as one is drawn."""

    signed: bool  # activations as int8
    zero: int  # of the activations
    left: str  # how their scale and zero point stand: a scalar, or a list of one
    right: str  # those of the weights: the same, one for each column, or for each row
    axis: int | None
    weight_zero: str  # none, zeros, or others
    bias: str
    bias_first: bool
    shared: bool  # weights, with what belongs to them, are those of the layer before
    again: str  # what more reads a value of it: nothing, the product, the sum, the activations, a branch
    default: str  # which constant is an input with a default: none, the bias, the weights, the scale, the zero point
    square: bool  # whether the product is that of the activations with themselves


layers = st.builds(
    Layer,
    signed=st.booleans(),
    zero=st.sampled_from([0, 3, 100]),
    left=st.sampled_from(["scalar", "scalar", "list"]),
    right=st.sampled_from(["column", "column", "scalar", "list", "row"]),
    axis=st.sampled_from([1, -1, None]),
    weight_zero=st.sampled_from(["zeros", "zeros", "others", "none"]),
    bias=st.sampled_from(["whole", "whole", "none", "one", "scalar", "rows", "shared", "float16"]),
    bias_first=st.booleans(),
    shared=st.booleans(),
    again=st.sampled_from(["nothing", "nothing", "product", "sum", "activations", "branch"]),
    default=st.sampled_from(["none", "none", "none", "bias", "weights", "scale", "zero"]),
    square=st.sampled_from([False] * 9 + [True]),
)


class Drawn:
    """A graph of such layers in a row."""

    def __init__(self, opset, seed):
        self.opset, self.random = opset, np.random.default_rng(seed)
        self.nodes, self.constants, self.inputs = [], {}, []
        self.values = []  # what may be an output: its name and type

    def add(self, kind, inputs, result, of=TensorProto.FLOAT, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [result], result, **attributes))
        self.values.append((result, of))
        return result

    def layer(self, number, layer, value):
        """Add a layer that reads `value`, and return what it makes."""
        prefix = f"l{number}."
        kind, of = (np.int8, TensorProto.INT8) if layer.signed else (np.uint8, TensorProto.UINT8)
        form = (lambda each: np.array([each])) if layer.left == "list" else np.array
        self.constants |= {
            f"{prefix}s": form(np.float32(STEP)),
            f"{prefix}z": form(kind(layer.zero)),
        }
        quantised = [f"{prefix}s", f"{prefix}z"]
        self.add("QuantizeLinear", [value, *quantised], f"{prefix}q", of)
        activations = self.add("DequantizeLinear", [f"{prefix}q", *quantised], f"{prefix}x")
        if not layer.shared or not number:
            self.right = self.weights(prefix, layer)
        right = self.right
        product = self.add("MatMul", [activations, activations if layer.square else right], f"{prefix}y")
        result = self.biased(number, layer, product)
        if layer.again == "branch":
            result = self.branch(prefix, product, result)
        elif layer.again != "nothing":
            read = {"product": product, "sum": result, "activations": activations}[layer.again]
            self.add("Neg", [read], f"{prefix}again")
            result = self.add("Add", [result, f"{prefix}again"], f"{prefix}joined")
        default = {"bias": "bias", "weights": "w", "scale": "ws", "zero": "z"}.get(layer.default)
        if default and f"{prefix}{default}" in self.constants:
            self.inputs.append(f"{prefix}{default}")
        return result

    def weights(self, prefix, layer):
        shape = {"scalar": (), "list": (1,), "column": (WIDTH,), "row": (WIDTH,)}[layer.right]
        self.constants |= {
            f"{prefix}w": self.random.integers(-127, 128, (WIDTH, WIDTH)).astype(np.int8),
            f"{prefix}ws": (WEIGHT_STEP * 2.0 ** self.random.integers(0, 3, shape)).astype(np.float32),
        }
        inputs = [f"{prefix}w", f"{prefix}ws"]
        if layer.weight_zero != "none":
            zeros = self.random.integers(-3, 4, shape) if layer.weight_zero == "others" else np.zeros(shape)
            self.constants[f"{prefix}wz"] = np.asarray(zeros).astype(np.int8)
            inputs.append(f"{prefix}wz")
        axis = 0 if layer.right == "row" else layer.axis
        attributes = {} if axis is None or self.opset < 13 else {"axis": axis}
        return self.add("DequantizeLinear", inputs, f"{prefix}r", **attributes)

    def biased(self, number, layer, product):
        prefix = f"l{number}."
        shape = {"one": (1,), "scalar": (), "rows": (ROWS, WIDTH)}.get(layer.bias, (WIDTH,))
        if layer.bias == "none":
            return product
        bias = f"l{number - 1}.bias"
        if layer.bias != "shared" or getattr(self.constants.get(bias), "dtype", None) != np.float32:
            bias = f"{prefix}bias"
            self.constants[bias] = (STEP * WEIGHT_STEP * self.random.integers(-999, 1000, shape)).astype(np.float32)
        if layer.bias == "float16":
            self.constants[bias] = self.constants[bias].astype(np.float16)
            bias = self.add("Cast", [bias], f"{prefix}cast", to=TensorProto.FLOAT)
        inputs = [bias, product] if layer.bias_first else [product, bias]
        return self.add("Add", inputs, f"{prefix}sum")

    def branch(self, prefix, product, result):
        """Add an If that reads the product inside of itself."""
        self.constants[f"{prefix}yes"] = np.array(True)
        parts = []
        for name, inputs in (("then", [product, result]), ("else", [result, result])):
            node = helper.make_node("Add", inputs, [f"{prefix}{name}"])
            value = helper.make_tensor_value_info(f"{prefix}{name}", TensorProto.FLOAT, [None] * 3)
            parts.append(helper.make_graph([node], name, [], [value]))
        return self.add("If", [f"{prefix}yes"], f"{prefix}if", then_branch=parts[0], else_branch=parts[1])

    def model(self, outputs):
        """Return the model up to these outputs, without what none of them needs."""
        wanted, kept = {name for name, _ in outputs}, []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                inside = [part.g for part in node.attribute if part.type == onnx.AttributeProto.GRAPH]
                wanted.update(node.input, *(each.input for graph in inside for each in graph.node))
                kept.append(node)
        tensors = {name: numpy_helper.from_array(np.asarray(value), name) for name, value in self.constants.items()}
        given = [helper.make_tensor_value_info("images", TensorProto.FLOAT, (None, ROWS, WIDTH))]
        for name in dict.fromkeys(self.inputs):
            if name in wanted:
                given.append(helper.make_tensor_value_info(name, tensors[name].data_type, tensors[name].dims))
        graph = helper.make_graph(
            kept[::-1],
            "cut",
            given,
            [
                helper.make_tensor_value_info(name, of, [None] * (2 if name.endswith(".r") else 3))
                for name, of in outputs
            ],
            [tensor for name, tensor in tensors.items() if name in wanted],
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSIONS[self.opset])


@st.composite
def cuts(draw):
    """A model, and whether each of its inputs with a default is given another value."""
    drawn = Drawn(draw(st.sampled_from([*IR_VERSIONS])), draw(st.integers(0, 2**32)))
    value = "images"
    for number, layer in enumerate(draw(st.lists(layers, min_size=1, max_size=3))):
        value = drawn.layer(number, layer, value)
    chosen = draw(st.lists(st.sampled_from(drawn.values), min_size=1, max_size=3, unique=True))
    return drawn.model(chosen)


def outputs_of(model):
    """What ONNX Runtime computes of it, given other values than the defaults; why it does not, as a text."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    random = np.random.default_rng(1)
    feed = {"images": (STEP * random.integers(-99, 100, (2, ROWS, WIDTH))).astype(np.float32)}
    defaults = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for value in model.graph.input[1:]:
        other = defaults[value.name]
        feed[value.name] = np.asarray(2 * other if other.dtype.kind == "f" else other // 2)
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return session.run(None, feed)
    except Exception as error:  # noqa: BLE001  ONNX Runtime raises a class of its own for each of its codes
        return str(error)


def holds(model):
    """Assert what must hold of any graph, and return whether something was written."""
    before = model.SerializeToString()
    found = for_onnxruntime(model)
    assert model.SerializeToString() == before, "what comes in was changed"
    assert for_onnxruntime(found) == found
    if found == model:
        return False
    onnx.checker.check_model(found)
    check_operators(found.graph)
    wanted, computed = outputs_of(model), outputs_of(found)
    assert not isinstance(wanted, str), f"written of what the runtime does not take: {wanted}"
    assert not isinstance(computed, str), computed
    for value, one, other in zip(model.graph.output, wanted, computed, strict=True):
        assert np.array_equal(one, other), value.name
        assert one.dtype == other.dtype
    return True


@settings(max_examples=60)
@given(cuts())
def test_any_cut_is_equal_or_stays(model):
    holds(model)


@pytest.mark.slow
@settings(max_examples=1500)
@given(cuts())
def test_many_cuts_are_equal_or_stay(model):
    holds(model)


PLAIN = Layer(False, 100, "scalar", "column", 1, "zeros", "whole", False, False, "nothing", "none", False)


def drawn(*changes, last=None):
    """The graph of plain layers with changes, up to its last value or another."""
    found, value = Drawn(21, 0), "images"
    for number, change in enumerate(changes):
        value = found.layer(number, Layer(**vars(PLAIN) | change), value)
    return found.model([(last or value, TensorProto.FLOAT)])


@pytest.mark.parametrize(
    ("changes", "products"),
    [
        ([{}], 1),
        ([{"signed": True}, {"shared": True, "bias": "shared"}], 2),
        ([{"default": "bias"}], 1),  # what is given at run time stays an addition
        ([{"default": "weights"}], 0),
        ([{"default": "scale"}], 0),
        ([{"default": "zero"}], 0),
        ([{"again": "branch"}], 0),
        ([{"again": "product"}, {"again": "sum"}], 2),
        ([{"weight_zero": "none"}], 0),
        ([{"right": "row"}], 0),
        ([{"square": True}], 0),
    ],
    ids=str,
)
def test_what_is_written(changes, products):
    model = drawn(*changes)
    assert holds(model) == bool(products)
    found = for_onnxruntime(model)
    assert sum((node.domain, node.op_type) == (DOMAIN, PRODUCT) for node in found.graph.node) == products


def test_an_output_amid_a_pattern():
    for name in ("l0.x", "l0.r", "l0.y", "l0.sum"):
        holds(drawn({}, last=name))
    found = for_onnxruntime(drawn({}, last="l0.y"))
    assert [len(node.input) for node in found.graph.node if node.op_type == PRODUCT] == [6]


def test_zero_points_that_do_not_fit_stay():
    """Of another size than the scales, which no runtime takes: nothing is made of it that one would."""
    model = drawn({})
    for tensor in model.graph.initializer:
        if tensor.name == "l0.wz":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(WIDTH - 1, np.int8), tensor.name))
    assert for_onnxruntime(model) == model
