"""ONNX Runtime's own operators in graphs that are written for it: what they may be, and what they mean in ONNX's own.

`com.microsoft.MatMulIntegerToFloat` (docs/ContribOperators.md of https://github.com/microsoft/onnxruntime): A (.., K),
B (K, N), a_scale, b_scale, a_zero_point, b_zero_point, bias (N,) to float32 (.., N). The runtime takes the bias at its
word: a shorter one it would read beyond its end. So all but A must be constants of the right size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from onnx import GraphProto, NodeProto, TensorProto, helper

from resnas_deploy.errors import BadInput, shown

DOMAIN = "com.microsoft"
PRODUCT = "MatMulIntegerToFloat"
OPERATORS = (PRODUCT,)
_SCALARS: tuple[list[int], ...] = ([], [1])


def check_operators(graph: GraphProto) -> None:
    """Raise `BadInput` where an operator of ONNX Runtime's own is another than those that we write, or differs."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in _own(graph.node):
        if node.op_type not in OPERATORS:
            raise BadInput(f"operators of {DOMAIN} must be {' or '.join(OPERATORS)}, found {shown(node.op_type)}")
        if problem := _problem(node, constants):
            raise BadInput(f"{PRODUCT} must be as ONNX Runtime takes it, found {shown(node.name)} {problem}")


def in_standard_operators(graph: GraphProto) -> None:
    """Write each checked one in ONNX's own operators, in place: the same types and shapes follow from them."""
    nodes = [part for node in graph.node for part in (_standard(node) if node.domain == DOMAIN else [node])]
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _own(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    return (node for node in nodes if node.domain == DOMAIN)


def _problem(node: NodeProto, constants: Mapping[str, TensorProto]) -> str:
    """Say what is wrong with a product; empty where nothing is."""
    if not 6 <= len(node.input) <= 7 or len(node.output) != 1 or node.attribute:
        return f"of {len(node.input)} inputs, {len(node.output)} outputs and {len(node.attribute)} attributes"
    left, right, left_scale, right_scale, left_zero, right_zero = node.input[:6]
    if not left or right not in constants or len(constants[right].dims) != 2:
        return "of weights that are no constant matrix"
    columns = [constants[right].dims[1]]
    wanted: list[tuple[str, str, Iterable[list[int]]]] = [
        ("a_scale", left_scale, _SCALARS),
        ("a_zero_point", left_zero, _SCALARS),
        ("b_scale", right_scale, (*_SCALARS, columns)),
    ]
    if right_zero:
        wanted.append(("b_zero_point", right_zero, (*_SCALARS, columns)))
    if len(node.input) == 7:
        wanted.append(("bias", node.input[6], (columns,)))
    for what, name, shapes in wanted:
        if name not in constants or list(constants[name].dims) not in shapes:
            return f"with a {what} that is no constant of its size"
    return ""


def _standard(node: NodeProto) -> Iterator[NodeProto]:
    """Yield an integer product, the conversion of its sums, and what they are multiplied by and added to."""
    left, right, left_scale, right_scale, left_zero, right_zero = node.input[:6]
    (out,) = node.output
    steps: list[tuple[str, list[str]]] = [
        ("MatMulInteger", [left, right, left_zero, right_zero]),
        ("Cast", []),
        ("Mul", [left_scale]),
        ("Mul", [right_scale]),
    ]
    if len(node.input) == 7:
        steps.append(("Add", [node.input[6]]))
    value = ""
    for number, (kind, others) in enumerate(steps):
        result = out if number == len(steps) - 1 else f"{out}.step{number}"
        inputs = [value, *others] if value else others
        made = helper.make_node(kind, inputs, [result], f"{node.name}.step{number}")
        if kind == "Cast":
            made.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
        yield made
        value = result
