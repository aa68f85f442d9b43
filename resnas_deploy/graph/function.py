"""Builds ONNX model-local functions: nodes that runtimes replace by a body in standard operators.

Sizes are constants in the body. TensorRT for RTX 1.7 ignores attributes that are handed on to a body's nodes (a stride
stays 1, without an error) and takes any overload of a name for another, so each body has a name of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import FunctionProto, NodeProto, helper

from resnas_deploy.graph.builder import AttributeValue, make_node

DOMAIN, DOMAIN_VERSION = "resnas", 1


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
        """An int64 vector, one constant for all who ask for the same."""
        name = f"ints.{'_'.join(map(str, values))}"
        if name not in self._constants:
            self._constants.add(name)
            self.add("Constant", [], name, value_ints=values)
        return f"{self._element}.{name}"

    def cut(self, x: str, begin: int, end: int, output: str, axis: int = 1) -> str:
        """`x` from `begin` to before `end` along an axis, the tokens' if none is given."""
        return self.add("Slice", [x, self.ints(begin), self.ints(end), self.ints(axis)], output)

    def build(self, output: str) -> FunctionProto:
        """The function, whose value is `output`."""
        imports = [helper.make_opsetid("", self._opset)]
        return helper.make_function(DOMAIN, self.name, self._inputs, [output], self._nodes, imports)
