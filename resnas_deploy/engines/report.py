"""What a built engine is: the precision of every layer, and how many kernels each part of the network became."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnas_deploy.arch.elements import INPUT, OUTPUT, BlockElement, Element, HeadElement, ReductionElement, elements
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.engines.layers import KNOWN_TYPES, Layer, Tensor, node_name
from resnas_deploy.engines.recorded import ElementKernels, LayerReport
from resnas_deploy.precision import AROUND_QUANTISED, PRECISIONS, QUANTISED

if TYPE_CHECKING:
    from onnx import ModelProto

_PRODUCTS = ("MatMul", "Gemm", "Conv", "Attention")  # where the arithmetic is
_ATTENTION = ("Softmax", "Attention")
_PART = re.compile(r"\.(class|windows\d+)")  # of attention in windows
_NORM = "LayerNormalization"
_INPUT_CAST, _OUTPUT_CAST = "input_cast", "output_cast"  # the graph's edges are float32 in every precision
_LEVELS = {"stem.levels", "stem.channels_first", "stem.centred"}  # take the mean off uint8 images, in float32
# The builder's kinds: of kernels that multiply matrices, and of layers that only lay a tensor out anew.
_PRODUCT_KINDS = ("gemm", "correlation", "runtime_fusion", "fusion", "CaskConvolution", "CaskGemmConvolution")
_MOVING = ("Reformat", "NoOp")
_REFORMATTING = "Reformatting CopyNode"
_OPAQUE = "{ForeignNode"  # a region of the compiler's that was not opened up
_TF32 = "tf32"  # in the name of a kernel
_WIDE = (_NORM, "Softmax")  # float32 inside, whatever the precision around
_STORED = {known.onnx: known.name for known in QUANTISED.values()}


@dataclass(frozen=True)
class GraphNode:
    """A node of the graph that was built."""

    element: str
    op: str
    weighted: bool  # whether it multiplies by constant weights
    quantised: str  # the precision that its weights are quantised to, int8 or fp8; empty where they are not
    factors: str = ""  # the same of a product without weights, such as attention's, of which both factors are quantised


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
    dequantised = {  # and of what is no constant, by the type of its zero point
        node.output[0]: _STORED.get(types.get(node.input[2], 0), "")
        for node in model.graph.node
        if node.op_type == "DequantizeLinear" and node.output[0] not in constants and len(node.input) > 2
    }
    return {
        node_name(node.name): GraphNode(
            element=element_of(node.name, known),
            op=node.op_type,
            weighted=any(name in constants for name in node.input[1:]),
            quantised=next((constants[name] for name in node.input[1:] if constants.get(name)), ""),
            factors=_shared([dequantised.get(name, "") for name in node.input]) if node.op_type == "MatMul" else "",
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
    layers: Iterable[Layer],
    nodes: Mapping[str, GraphNode],
    arch: ArchSpec,
    allowed: Iterable[str],
    *,
    tf32: bool = False,
) -> LayerReport:
    """Group an engine's layers by the elements of the network.

    `allowed` are the precisions that products may have; in float32, TF32 only where `tf32` says so.
    """
    layers = tuple(layers)
    kernels = [layer for layer in layers if layer.is_kernel]
    engine = _Engine(nodes, _edges(layers))
    touched = [_elements(layer, nodes) for layer in kernels]
    parts = tuple(_part(element, kernels, touched, engine) for element in elements(arch))
    return LayerReport(
        kernels=len(kernels),
        kinds=dict(sorted(Counter(layer.kind for layer in kernels).items())),
        precisions=dict(sorted(Counter(_computes(layer, engine) for layer in kernels).items())),
        parts=parts,
        fallbacks=(*_fallbacks(kernels, engine, set(allowed), tf32), *_unproved(kernels, nodes)),
    )


@dataclass(frozen=True)
class _Engine:
    """What a layer is judged by beside itself."""

    nodes: Mapping[str, GraphNode]
    edges: frozenset[str]  # tensors that hold the network's input as it is, in its own type whatever the precision


def _edges(layers: Sequence[Layer]) -> frozenset[str]:
    """Return the network's input, and what layers that only lay it out anew make of it."""
    found = {INPUT}
    for layer in layers:
        moves = layer.kind in _MOVING or layer.name.startswith(_REFORMATTING)
        if moves and layer.inputs and all(tensor.name in found for tensor in layer.inputs):
            found |= {tensor.name for tensor in layer.outputs if tensor.precision == layer.inputs[0].precision}
    return frozenset(found)


def _part(
    element: Element, kernels: Sequence[Layer], touched: Sequence[frozenset[str]], engine: _Engine
) -> ElementKernels:
    nodes = engine.nodes
    ours = [(layer, names) for layer, names in zip(kernels, touched, strict=True) if element.name in names]
    products = [layer for layer, _ in ours if _is_product(layer, nodes, element.name) and not _at_edge(layer, engine)]
    return ElementKernels(
        element=element.name,
        kind=_kind(element),
        kernels=len(ours),
        shared=sum(len(names) > 1 for _, names in ours),
        precisions=tuple(sorted({_computes(layer, engine) for layer in products})),
        fused_attention=_is_attention_fused(element, [layer for layer, _ in ours], nodes),
        names=tuple(layer.name for layer, _ in ours),
    )


def _is_attention_fused(element: Element, layers: Sequence[Layer], nodes: Mapping[str, GraphNode]) -> bool | None:
    """Whether one kernel does a softmax and both of its products without weights, each one of a block in windows."""
    if not isinstance(element, BlockElement):
        return None
    cores: dict[str, set[str]] = {}
    for name, node in nodes.items():
        if node.element == element.name and (node.op in _ATTENTION or (node.op == "MatMul" and not node.weighted)):
            part = _PART.match(name.removeprefix(f"{element.name}.attention"))
            cores.setdefault(part[0] if part else "", set()).add(name)
    return all(any(core <= set(layer.nodes) for layer in layers) for core in cores.values())


def _fallbacks(kernels: Sequence[Layer], engine: _Engine, allowed: set[str], tf32: bool) -> Iterator[str]:
    """Yield products that read another precision than the graph says, float32 between kernels, and what is unknown.

    Norms, the sums of a softmax, and what takes the mean off uint8 images are float32 on purpose.
    """
    nodes = engine.nodes
    for layer in kernels:
        read = _read(layer, engine)
        quantised = {node.quantised for node in _nodes(layer, nodes) if node.op in _PRODUCTS} - {""}
        tensors = (*layer.inputs, *layer.constants, *layer.outputs)
        if unknown := [tensor for tensor in tensors if tensor.precision not in KNOWN_TYPES]:
            yield f"{layer.name} has the tensor {unknown[0].name} of the unknown type {unknown[0].precision}"
        elif layer.name.startswith(_OPAQUE) or layer.kind == "Myelin":
            yield f"{layer.name} is one layer whose inside is not told"
        elif _is_product(layer, nodes) and not read:
            yield f"{layer.name} shows no operand of which the precision is known"
        elif _is_product(layer, nodes) and not read <= allowed:
            yield f"{layer.name} computes in {', '.join(sorted(read - allowed))}"
        elif quantised and layer.kind in _PRODUCT_KINDS and not (taken := _taken(layer)) & quantised:
            yield f"{layer.name} computes in {', '.join(sorted(taken))} instead of {', '.join(sorted(quantised))}"
        elif not tf32 and "fp32" in allowed and _is_product(layer, nodes) and _TF32 in layer.tactic:
            yield f"{layer.name} computes in TF32, with {layer.tactic}"
        elif "fp32" not in allowed and not _is_wide(layer, nodes):
            wide = {tensor.name for tensor in layer.outputs if tensor.precision == "fp32"} - {OUTPUT} - engine.edges
            if wide:
                yield f"{layer.name} writes fp32"


def _unproved(kernels: Sequence[Layer], nodes: Mapping[str, GraphNode]) -> Iterator[str]:
    """Yield products of the graph that no kernel says it does, and quantised ones of which none reads that type.

    A product without weights reads two tensors of it: kernels that lay one out anew name the product too.
    """
    claims: dict[str, list[Layer]] = {}
    for layer in kernels:
        for name in layer.nodes:
            claims.setdefault(name, []).append(layer)
    for name, node in nodes.items():
        if node.op not in _PRODUCTS:
            continue
        if name not in claims:
            yield f"no layer says that it computes {name}"
        elif node.quantised and not any(node.quantised in _taken(layer) for layer in claims[name]):
            yield f"no layer that computes {name} reads {node.quantised}"
        elif node.factors and not any(_reads_two(layer, node.factors) for layer in claims[name]):
            yield f"no layer that computes {name} reads both of its factors in {node.factors}"


def _operands(layer: Layer, engine: _Engine) -> tuple[Tensor, ...]:
    """Return what tells a product's precision: its inputs and weights; these alone where a norm, float32, is in it.

    Factors of one element, such as alpha and beta of a product, are float32 in every precision; so are the images.
    """
    weights = tuple(tensor for tensor in layer.constants if sum(size > 1 for size in tensor.dims) > 1)
    if weights and _has(layer, engine.nodes, _NORM):
        return weights
    inputs = [tensor for tensor in layer.inputs if not tensor.is_one_element and tensor.name not in engine.edges]
    return (*inputs, *weights)


def _read(layer: Layer, engine: _Engine) -> set[str]:
    """Return the precisions of a layer's operands; where it has none, such as at the images, of what it writes."""
    found = {tensor.precision for tensor in _operands(layer, engine)} & PRECISIONS.keys()
    return found or {tensor.precision for tensor in layer.outputs} & PRECISIONS.keys()


def _taken(layer: Layer) -> set[str]:
    """Return the precisions of what a layer takes from others."""
    return {tensor.precision for tensor in layer.inputs} & PRECISIONS.keys()


def _reads_two(layer: Layer, precision: str) -> bool:
    return sum(tensor.precision == precision for tensor in layer.inputs) > 1


def _at_edge(layer: Layer, engine: _Engine) -> bool:
    return any(tensor.name in engine.edges for tensor in layer.inputs)


def _is_wide(layer: Layer, nodes: Mapping[str, GraphNode]) -> bool:
    """Whether a layer may write float32 in every precision, as the graph says."""
    on_levels = bool(layer.nodes) and set(layer.nodes) <= _LEVELS
    return on_levels or _at_output(layer) or any(_has(layer, nodes, op) for op in _WIDE)


def _at_output(layer: Layer) -> bool:
    """Whether a layer makes the logits float32, or lays them out where they are it."""
    return _OUTPUT_CAST in layer.nodes or any(tensor.name == OUTPUT for tensor in layer.outputs)


def _is_product(layer: Layer, nodes: Mapping[str, GraphNode], element: str = "") -> bool:
    return any(node.op in _PRODUCTS and element in ("", node.element) for node in _nodes(layer, nodes))


def _has(layer: Layer, nodes: Mapping[str, GraphNode], op: str) -> bool:
    return any(node.op == op for node in _nodes(layer, nodes))


def _nodes(layer: Layer, nodes: Mapping[str, GraphNode]) -> list[GraphNode]:
    return [nodes[name] for name in layer.nodes if name in nodes]


def _computes(layer: Layer, engine: _Engine) -> str:
    """Return the precision of what a layer reads first; where it reads nothing but constants, of what it writes."""
    tensors = _operands(layer, engine) if _is_product(layer, engine.nodes) else layer.inputs
    read = [tensor.precision for tensor in tensors if tensor.precision in PRECISIONS]
    return (read or [tensor.precision for tensor in layer.outputs])[0]


def _elements(layer: Layer, nodes: Mapping[str, GraphNode]) -> frozenset[str]:
    return frozenset(nodes[name].element for name in layer.nodes if name in nodes and nodes[name].element)


def _shared(precisions: Sequence[str]) -> str:
    """Return the one precision that all of them are; empty where they differ."""
    return precisions[0] if len(set(precisions)) == 1 else ""


def _kind(element: Element) -> str:
    if isinstance(element, BlockElement):
        return "block"
    if isinstance(element, ReductionElement):
        return "reduction"
    return "head" if isinstance(element, HeadElement) else "stem"
