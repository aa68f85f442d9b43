"""The ends of an ONNX graph of anybody's: which input takes the images, and which output is the logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, shape_inference

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.spec import MAX_SIDE
from resnas_deploy.artifact.graph import dims_of
from resnas_deploy.artifact.onnx_light import without_weights
from resnas_deploy.artifact.onnx_reading import graphs_in, graphs_of
from resnas_deploy.artifact.onnx_told import Ends, Value
from resnas_deploy.artifact.ort_operators import check_operators, in_standard_operators
from resnas_deploy.batch import MAX_BATCH, BatchRange
from resnas_deploy.errors import BadInput, first_few, first_line, shown

MOST_VALUES = 2**31  # of a tensor, for one image: beyond, a graph was written to fill memory
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16)
_CHANNELS = 3


def with_shapes(model: ModelProto) -> ModelProto:
    """Return the model without large weights, with every type and shape that follows from others.

    Raise `BadInput` where a tensor would be larger than any network needs.
    """
    light = without_weights(model)
    with suppress(BadInput):  # of other operators than those that we write too
        check_operators(light.graph)
        in_standard_operators(light.graph)
    try:
        inferred = shape_inference.infer_shapes(light, data_prop=True)
    except (shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise BadInput(f"shapes must follow from each other, found: {first_line(error)}") from None
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        if math.prod(dim or 1 for dim in dims_of(value)) > MOST_VALUES:
            raise BadInput(f"no tensor may have more than {MOST_VALUES} values, found {shown(value.name)}")
    return inferred


def find_ends(model: ModelProto) -> Ends:
    """Return the ends of a model whose shapes were inferred. Raise `BadInput` where they are not those of a network.

    It must take float images, (B, 3, S, S) with a fixed S, alone, and give logits (B, classes).
    """
    constants = {tensor.name for tensor in model.graph.initializer}  # which older graphs list as inputs too
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise BadInput(f"there must be one input, the images, found {len(inputs)}{_listed(inputs)}")
    size = _image_size(inputs[0])
    least = dims_of(inputs[0])[0]
    if least is not None and not 1 <= least <= MAX_BATCH:
        raise BadInput(f"the batch must be from 1 to {MAX_BATCH}, found {least}")
    logits = next((value for value in model.graph.output if _is_logits(value)), None)
    if logits is None:
        raise BadInput(
            "an output must be logits, float (B, classes) with its shape declared, "
            f"found {len(model.graph.output)}{_listed(model.graph.output)}"
        )
    return Ends(
        _value(inputs[0]),
        tuple(map(_value, model.graph.output)),
        logits.name,
        size,
        BatchRange(least, least) if least else BatchRange(1, MAX_BATCH),
        dims_of(logits)[1],
    )


def put_ours(model: ModelProto, ends: Ends) -> None:
    """Change a model's ends to those that runners use: `images` and `logits`, both in float32, and no other output.

    Values of these names inside get others. Ends of another type than float32 get a `Cast` each.
    """
    graph = model.graph
    (images,) = [value for value in graph.input if value.name == ends.input.name]
    for number, value in reversed(list(enumerate(graph.output))):
        if value.name != ends.logits:
            del graph.output[number]
    (logits,) = graph.output
    taken = {name for each in graphs_of(model) for node in each.node for name in (*node.input, *node.output)}
    for each in graphs_of(model):
        taken |= {value.name for value in (*each.input, *each.output)} | {tensor.name for tensor in each.initializer}
    names: dict[str, str] = {}
    before, after = list[NodeProto](), list[NodeProto]()
    both: tuple[tuple[ValueInfoProto, str, list[NodeProto]], ...]
    both = ((images, INPUT, before), (logits, OUTPUT, after))
    for value, ours, casts in both:
        kind = value.type.tensor_type.elem_type
        if kind == TensorProto.FLOAT:
            names[value.name] = ours
        else:
            inner = names[value.name] = _fresh(f"{ours}.inner", taken)
            ends_of_cast = ([ours], [inner]) if value is images else ([inner], [ours])
            to = kind if value is images else TensorProto.FLOAT
            casts.append(helper.make_node("Cast", *ends_of_cast, name=f"{ours}.cast", to=to))
    for ours in (INPUT, OUTPUT):
        if ours in taken and ours not in names:
            names[ours] = _fresh(f"{ours}.inner", taken)
    _rename(model, names)
    for value, ours in ((images, INPUT), (logits, OUTPUT)):
        value.name = ours
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in before:
        graph.node.insert(0, node)
    graph.node.extend(after)


def _rename(model: ModelProto, names: dict[str, str]) -> None:
    """Give values other names, in the graph and the graphs inside of it. Functions have names of their own."""
    for graph in (model.graph, *graphs_in(model.graph.node)):
        for node in graph.node:
            for each in (node.input, node.output):
                for number, name in enumerate(each):
                    if name in names:
                        each[number] = names[name]
        for value in (*graph.input, *graph.output, *graph.value_info):
            value.name = names.get(value.name, value.name)
        for tensor in graph.initializer:
            tensor.name = names.get(tensor.name, tensor.name)
        for annotation in graph.quantization_annotation:
            annotation.tensor_name = names.get(annotation.tensor_name, annotation.tensor_name)


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _image_size(value: ValueInfoProto) -> int:
    kind, dims = value.type.tensor_type.elem_type, dims_of(value)
    found = f"found {shown(str(_value(value)), 120)}"
    if kind not in _FLOATS:
        raise BadInput(f"the input must be float images (float32, float16 or bfloat16), {found}; export it with these")
    if len(dims) != 4:
        raise BadInput(f"the input must be images, (B, {_CHANNELS}, S, S), {found}")
    if dims[3] == _CHANNELS and dims[1] != _CHANNELS:
        raise BadInput(f"images must have their channels first, (B, {_CHANNELS}, S, S), {found}; export it so")
    if dims[1] != _CHANNELS:
        raise BadInput(f"images must have {_CHANNELS} channels, (B, {_CHANNELS}, S, S), {found}")
    side = dims[2]
    if side is None or dims[3] is None:
        raise BadInput(f"the size of images must be fixed, (B, {_CHANNELS}, S, S), {found}; export it with one")
    if side != dims[3] or not 1 <= side <= MAX_SIDE:
        raise BadInput(f"images must be square, of 1 to {MAX_SIDE} pixels a side, {found}")
    return side


def _is_logits(value: ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type in _FLOATS and len(dims_of(value)) == 2


def _value(value: ValueInfoProto) -> Value:
    tensor = value.type.tensor_type
    kind = type_name(tensor.elem_type) if value.type.HasField("tensor_type") else "no tensor"
    shape = (dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim)
    return Value(value.name, kind, tuple(shape))


_TYPE_NAMES: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"}


def type_name(kind: int) -> str:
    """Return what a type of ONNX is called."""
    known = kind in TensorProto.DataType.values()
    return _TYPE_NAMES.get(kind) or (TensorProto.DataType.Name(kind).lower() if known else f"type {kind}")


def _listed(values: Sequence[ValueInfoProto]) -> str:
    return f": {first_few([shown(str(_value(value)), 80) for value in values])}" if values else ""
