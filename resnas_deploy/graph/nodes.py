"""Collects the parts of an ONNX graph: nodes under stable names, weights computed when the file is written, functions.

Functions are model-local: nodes that runtimes replace by a body in standard operators. Sizes are constants in the body.
TensorRT for RTX 1.7 ignores attributes that are handed on to a body's nodes (a stride stays 1, without an error) and
takes any overload of a name for another, so each body has a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, NodeProto, TensorProto, helper

from resnas_deploy.precision import Precision
from resnas_deploy.weights.checkpoint import Array

AttributeValue = int | float | str | Sequence[int]
TO_THE_END = 2**63 - 1  # of a Slice
DOMAIN, DOMAIN_VERSION = "resnas", 1  # of functions
ONES = "ones"  # how the name of a weight of ones begins


@dataclass(frozen=True)
class Weight:
    """An initializer. `make` returns its values, C-contiguous, in `dtype`; it is called while writing, once."""

    name: str
    shape: tuple[int, ...]
    onnx_type: int
    dtype: np.dtype[Any]
    make: Callable[[], NDArray[Any]]


class GraphBuilder:
    """Collects the nodes, weights and functions of a graph in one precision."""

    def __init__(self, precision: Precision, opset: int, *, gemm: bool = False) -> None:
        self.precision, self.opset, self._gemm = precision, opset, gemm
        self.nodes: list[NodeProto] = []
        self.weights: dict[str, Weight] = {}
        self.functions: list[FunctionProto] = []

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        name: str,
        *,
        output: str = "",
        domain: str = "",
        **attributes: AttributeValue,
    ) -> str:
        """Append a node of one output and return that output's name: the node's own, unless `output` gives another."""
        self.nodes.append(make_node(op, inputs, output or name, name, domain=domain, **attributes))
        return output or name

    def weight(self, name: str, shape: tuple[int, ...], make: Callable[[], Array]) -> str:
        """Add a weight in the graph's precision; `make` gives it in float32, in any memory order."""
        precision = self.precision  # not this builder, which has the weight: the two would keep each other in memory

        def cast() -> NDArray[Any]:
            return np.ascontiguousarray(precision.cast(make(), name))

        self.weights[name] = Weight(name, shape, self.precision.onnx, self.precision.dtype, cast)
        return name

    def weight_in_float32(self, name: str, shape: tuple[int, ...], make: Callable[[], Array]) -> str:
        """Add a weight in float32, whatever the graph's precision; `make` gives its values, in any shape."""
        self.weights[name] = Weight(
            name, shape, TensorProto.FLOAT, np.dtype(np.float32), lambda: np.ascontiguousarray(make().reshape(shape))
        )
        return name

    def cast(self, x: str, name: str, to: int) -> str:
        """Cast `x` to a type of TensorProto.DataType."""
        return self.node("Cast", [x], name, to=to)

    def ints(self, *values: int) -> str:
        """Add an int64 vector, shared by all who ask for the same."""
        return self.indices(f"ints.{'_'.join(map(str, values))}", np.array(values, np.int64))

    def indices(self, name: str, values: NDArray[np.int64]) -> str:
        """Add an int64 vector under a name, shared by all who ask for that name."""
        self.weights[name] = Weight(name, values.shape, TensorProto.INT64, values.dtype, lambda: values)
        return name

    def linear(self, x: str, name: str, shape: tuple[int, int], weight: Callable[[], Array]) -> str:
        """Multiply `x` by a linear's weight; `shape` and `weight` are `(out, in)`, stored transposed for MatMul."""
        stored = self.weight(f"{name}.weight", shape[::-1], lambda: weight().T)
        return self.node("MatMul", [x, stored], f"{name}.matmul")

    def add_bias(self, x: str, name: str, width: int, bias: Callable[[], Array]) -> str:
        """Add a bias of `width` channels to `x`."""
        return self.node("Add", [x, self.weight(f"{name}.bias", (width,), bias)], f"{name}.bias_add")

    def affine(
        self, x: str, name: str, shape: tuple[int, int], weight: Callable[[], Array], bias: Callable[[], Array]
    ) -> str:
        """Multiply by a linear's weight, as `linear` does, and add its bias.

        With Gemm that is one node, of `x` as `rows` leaves it.
        """
        if not self._gemm:
            return self.add_bias(self.linear(x, name, shape, weight), name, shape[0], bias)
        stored = self.weight(f"{name}.weight", shape[::-1], lambda: weight().T)
        return self.node("Gemm", [x, stored, self.weight(f"{name}.bias", shape[:1], bias)], f"{name}.gemm")

    def rows(self, x: str, name: str, width: int) -> str:
        """View `(B, T, C)` as the `(B * T, C)` that Gemm takes. Without Gemm it stays as it is."""
        return self.node("Reshape", [x, self.ints(-1, width)], f"{name}.rows") if self._gemm else x

    def tokens(self, x: str, name: str, tokens: int, width: int, *, output: str = "") -> str:
        """View what Gemm left, `(B * T, C)`, as `(B, T, C)`. Without Gemm it is that already."""
        if not self._gemm:
            return x
        return self.node("Reshape", [x, self.ints(-1, tokens, width)], f"{name}.tokens", output=output)

    def normalise(self, x: str, name: str, width: int, epsilon: float) -> str:
        """Add a LayerNorm whose scale and shift were folded away; the operator must be given a scale: ones."""
        return self.node("LayerNormalization", [x, self.ones(width)], name, axis=-1, epsilon=epsilon)

    def ones(self, width: int) -> str:
        """Add a vector of ones, shared by all who ask for the same width."""
        return self.weight(f"{ONES}.{width}", (width,), lambda: np.ones(width, np.float32))

    def class_token(self, x: str, name: str) -> str:
        """Cut out the first token of `(B, T, C)`, as `(B, 1, C)`."""
        return self.node("Slice", [x, self.ints(0), self.ints(1), self.ints(1)], name)

    def patches(self, x: str, name: str) -> str:
        """Cut out all tokens of `(B, T, C)` but the first, `(B, T - 1, C)`."""
        return self.node("Slice", [x, self.ints(1), self.ints(TO_THE_END), self.ints(1)], name)

    def split(
        self, x: str, name: str, parts: Sequence[str], axis: int, lengths: Sequence[int] | None = None
    ) -> list[str]:
        """Cut `x` along an axis into parts of these lengths, or equal ones; each is named `NAME.PART`."""
        outputs, inputs = [f"{name}.{part}" for part in parts], [x]
        if lengths is None:
            self.nodes.append(helper.make_node("Split", inputs, outputs, name=name, axis=axis, num_outputs=len(parts)))
        else:
            inputs.append(self.ints(*lengths))
            self.nodes.append(helper.make_node("Split", inputs, outputs, name=name, axis=axis))
        return outputs


class FunctionBuilder:
    """The nodes of a function; each has its output's name, which begins with the element's."""

    def __init__(self, name: str, element: str, inputs: Sequence[str], opset: int) -> None:
        self.name, self._element, self._inputs, self._opset = name, element, tuple(inputs), opset
        self._nodes: list[NodeProto] = []
        self._constants: set[str] = set()

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: AttributeValue) -> str:
        """Append a node in the standard domain and return its output's name, `ELEMENT.OUTPUT`."""
        output = f"{self._element}.{output}"
        self._nodes.append(make_node(op, inputs, output, output, domain="", **attributes))
        return output

    def ints(self, *values: int) -> str:
        """Add an int64 vector, shared by all who ask for the same."""
        name = f"ints.{'_'.join(map(str, values))}"
        if name not in self._constants:
            self._constants.add(name)
            self.add("Constant", [], name, value_ints=values)
        return f"{self._element}.{name}"

    def cut(self, x: str, begin: int, end: int, output: str, axis: int = 1) -> str:
        """Cut `x` from `begin` to before `end` along an axis, the tokens' if none is given."""
        return self.add("Slice", [x, self.ints(begin), self.ints(end), self.ints(axis)], output)

    def build(self, output: str) -> FunctionProto:
        """Return the function, whose value is `output`."""
        imports = [helper.make_opsetid("", self._opset)]
        return helper.make_function(DOMAIN, self.name, self._inputs, [output], self._nodes, imports)


def make_node(
    op: str, inputs: Sequence[str], output: str, name: str, *, domain: str = "", **attributes: AttributeValue
) -> NodeProto:
    """Return a node of one output, its attributes in alphabetical order."""
    node = helper.make_node(op, list(inputs), [output], name=name, domain=domain)
    node.attribute.extend(helper.make_attribute(key, attributes[key]) for key in sorted(attributes))
    return node
