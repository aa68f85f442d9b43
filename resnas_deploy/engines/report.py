"""What a built engine is: the precision of every layer, and how many kernels each part of the network became."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnas_deploy.arch.elements import INPUT, OUTPUT, BlockElement, Element, HeadElement, ReductionElement, elements
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.engines.layers import Layer, Tensor
from resnas_deploy.engines.recorded import ElementKernels, LayerReport
from resnas_deploy.precision import AROUND_QUANTISED, PRECISIONS, QUANTISED

if TYPE_CHECKING:
    from onnx import ModelProto

_PRODUCTS = ("MatMul", "Gemm", "Conv", "Attention")  # where the arithmetic is
_ATTENTION = ("Softmax", "Attention")
_NORM = "LayerNormalization"
_INPUT_CAST, _OUTPUT_CAST = "input_cast", "output_cast"  # the graph's edges are float32 in every precision
_PRODUCT_KINDS = ("gemm", "correlation", "runtime_fusion")  # the builder's, of kernels that multiply matrices
_STORED = {known.onnx: known.name for known in QUANTISED.values()}


@dataclass(frozen=True)
class GraphNode:
    """A node of the graph that was built."""

    element: str
    op: str
    weighted: bool  # whether it multiplies by constant weights
    quantised: str  # the precision that its weights are quantised to, int8 or fp8; empty where they are not


def graph_nodes(model: ModelProto, arch: ArchSpec) -> dict[str, GraphNode]:
    """Return the nodes of a graph by name, functions inlined; those of no element of the network stand under `""`."""
    from onnx import inliner

    model = inliner.inline_local_functions(model)
    known = [element.name for element in elements(arch)]
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    constants = dict.fromkeys(types, "")  # and the precision that they were quantised to
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in types:
            constants[node.output[0]] = _STORED[types[node.input[0]]]
    return {
        _plain(node.name): GraphNode(
            element=element_of(node.name, known),
            op=node.op_type,
            weighted=any(name in constants for name in node.input[1:]),
            quantised=next((constants[name] for name in node.input[1:] if constants.get(name)), ""),
        )
        for node in model.graph.node
    }


def element_of(node: str, known: Sequence[str]) -> str:
    """Return the element whose name a node's begins with; the casts at the edges belong to the first and the last."""
    edges = {_INPUT_CAST: known[0], _OUTPUT_CAST: known[-1]}
    return edges.get(node) or next((name for name in known if node == name or node.startswith(f"{name}.")), "")


def allowed_in(precision: str) -> frozenset[str]:
    """Return what a graph's products may compute in: its precision, and where it is quantised, the one around."""
    return frozenset({precision, AROUND_QUANTISED} if precision in QUANTISED else {precision})


def layer_report(
    layers: Iterable[Layer], nodes: Mapping[str, GraphNode], arch: ArchSpec, allowed: Iterable[str]
) -> LayerReport:
    """Group an engine's layers by the elements of the network. `allowed` are the precisions that products may have."""
    kernels = [layer for layer in layers if layer.is_kernel]
    touched = [_elements(layer, nodes) for layer in kernels]
    parts = tuple(_part(element, kernels, touched, nodes) for element in elements(arch))
    return LayerReport(
        kernels=len(kernels),
        kinds=dict(sorted(Counter(layer.kind for layer in kernels).items())),
        precisions=dict(sorted(Counter(_computes(layer, nodes) for layer in kernels).items())),
        parts=parts,
        fallbacks=tuple(_fallbacks(kernels, nodes, set(allowed))),
    )


def _part(
    element: Element, kernels: Sequence[Layer], touched: Sequence[frozenset[str]], nodes: Mapping[str, GraphNode]
) -> ElementKernels:
    ours = [(layer, names) for layer, names in zip(kernels, touched, strict=True) if element.name in names]
    products = [layer for layer, _ in ours if _is_product(layer, nodes, element.name) and not _edge(layer)]
    return ElementKernels(
        element=element.name,
        kind=_kind(element),
        kernels=len(ours),
        shared=sum(len(names) > 1 for _, names in ours),
        precisions=tuple(sorted({_computes(layer, nodes) for layer in products})),
        fused_attention=_is_attention_fused(element, [layer for layer, _ in ours], nodes),
        names=tuple(layer.name for layer, _ in ours),
    )


def _is_attention_fused(element: Element, layers: Sequence[Layer], nodes: Mapping[str, GraphNode]) -> bool | None:
    """Whether one kernel does a block's softmax and both of its products without weights."""
    if not isinstance(element, BlockElement):
        return None
    core = {
        name
        for name, node in nodes.items()
        if node.element == element.name and (node.op in _ATTENTION or (node.op == "MatMul" and not node.weighted))
    }
    return any(core <= set(layer.nodes) for layer in layers)


def _fallbacks(kernels: Sequence[Layer], nodes: Mapping[str, GraphNode], allowed: set[str]) -> Iterable[str]:
    """Yield products that read another precision than the graph says, and float32 between kernels but for norms."""
    for layer in kernels:
        read = {tensor.precision for tensor in _operands(layer, nodes) if tensor.precision in PRECISIONS}
        quantised = {node.quantised for node in _nodes(layer, nodes) if node.op in _PRODUCTS} - {""}
        if _is_product(layer, nodes) and not read <= allowed | _edge(layer):
            yield f"{layer.name} computes in {', '.join(sorted(read - allowed))}"
        elif quantised and layer.kind in _PRODUCT_KINDS and not read & quantised:
            yield f"{layer.name} computes in {', '.join(sorted(read))} instead of {', '.join(sorted(quantised))}"
        elif "fp32" not in allowed and not _has(layer, nodes, _NORM) and _OUTPUT_CAST not in layer.nodes:
            wide = [tensor.name for tensor in layer.outputs if tensor.precision == "fp32" and tensor.name != OUTPUT]
            if wide:
                yield f"{layer.name} writes fp32"


def _operands(layer: Layer, nodes: Mapping[str, GraphNode]) -> tuple[Tensor, ...]:
    """Return what tells a product's precision: its inputs; its weights where a norm, which is float32, is in it."""
    weights = tuple(tensor for tensor in layer.constants if sum(size > 1 for size in tensor.dims) > 1)
    return weights if weights and _has(layer, nodes, _NORM) else layer.inputs


def _edge(layer: Layer) -> set[str]:
    """Return float32 where a layer reads the network's own input, which has it in every precision."""
    return {"fp32"} if any(tensor.name == INPUT for tensor in layer.inputs) else set()


def _is_product(layer: Layer, nodes: Mapping[str, GraphNode], element: str = "") -> bool:
    return any(node.op in _PRODUCTS and element in ("", node.element) for node in _nodes(layer, nodes))


def _has(layer: Layer, nodes: Mapping[str, GraphNode], op: str) -> bool:
    return any(node.op == op for node in _nodes(layer, nodes))


def _nodes(layer: Layer, nodes: Mapping[str, GraphNode]) -> list[GraphNode]:
    return [nodes[name] for name in layer.nodes if name in nodes]


def _computes(layer: Layer, nodes: Mapping[str, GraphNode]) -> str:
    """Return the precision of what a layer reads first; where it reads nothing but constants, of what it writes."""
    tensors = _operands(layer, nodes) if _is_product(layer, nodes) else layer.inputs
    read = [tensor.precision for tensor in tensors if tensor.precision in PRECISIONS]
    return (read or [tensor.precision for tensor in layer.outputs])[0]


def _elements(layer: Layer, nodes: Mapping[str, GraphNode]) -> frozenset[str]:
    return frozenset(nodes[name].element for name in layer.nodes if name in nodes and nodes[name].element)


def _kind(element: Element) -> str:
    if isinstance(element, BlockElement):
        return "block"
    if isinstance(element, ReductionElement):
        return "reduction"
    return "head" if isinstance(element, HeadElement) else "stem"


def _plain(name: str) -> str:
    head, _, number = name.rpartition("__")
    return head if head and number.isdigit() else name
