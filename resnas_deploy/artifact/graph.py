"""Reads the graph of an artifact: what a hash matches may still be any graph, so that it must be of the right kind.

Runtimes take a graph at its word: they loop as long, allocate as much and open whatever file it says.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import (
    AttributeProto,
    FunctionProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    checker,
    shape_inference,
)

from resnas_deploy.arch.cost import breakdown
from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.inputs import FLOAT32, input_named
from resnas_deploy.artifact.artifact import MOST_GRAPH, Artifact
from resnas_deploy.artifact.manifest import Manifest
from resnas_deploy.artifact.onnx_light import read_light, without_weights
from resnas_deploy.artifact.ort_operators import DOMAIN, check_operators, in_standard_operators
from resnas_deploy.artifact.written_for import ORT_CPU
from resnas_deploy.errors import BadInput, first_line, shown
from resnas_deploy.files.reading import opened, read_bytes

MOST_NODES = 100_000  # functions inlined; the largest of the search spaces has about 2,000
_DOMAINS = ("", "ai.onnx", "resnas")  # of operators and functions
_SPARE = 8  # a tensor may have so many times the values that the architecture says, for padding and other spellings
_BESIDE = 2**24  # and so many more
_MOST_HELD = 64
_held: list[tuple[Path, Manifest]] = []  # graphs that were read in this process, the last ones


def read_graph(artifact: Artifact) -> ModelProto:
    """Return the graph of an artifact. Raise `BadInput` where it is damaged, or not what its manifest says."""
    read_structure(artifact)
    with _damage(artifact):
        return onnx.load_model_from_string(read_bytes(artifact.graph, MOST_GRAPH))


def read_structure(artifact: Artifact) -> ModelProto:
    """Return the graph without the values of its large weights, which are never read. Raise what `read_graph` does."""
    with _damage(artifact):
        with opened(artifact.graph, MOST_GRAPH) as file:
            light = read_light(file, os.fstat(file.fileno()).st_size)
        _check_structure(light.model, artifact.manifest)
        light.check()
        _check_edges(light.model, artifact.manifest)
        _check_sizes(light.model, artifact.manifest)
    return light.model


@contextmanager
def _damage(artifact: Artifact) -> Iterator[None]:
    """Turn what is said of a graph into a `BadInput` that names it."""
    path = artifact.model
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{path}: {error}; export the artifact again") from None
    except (DecodeError, checker.ValidationError, shape_inference.InferenceError, ValueError, RuntimeError) as error:
        reason = first_line(error)
        raise BadInput(f"{path} must be a whole ONNX graph, found: {reason}; export the artifact again") from None


def check_graph(artifact: Artifact) -> None:
    """Raise `BadInput` where `read_graph` would. A graph that held is not read again in this process."""
    if not artifact.manifest.files:  # it is being made, by this very package
        return
    held = (artifact.model.resolve(), artifact.manifest)
    if held not in _held:
        read_structure(artifact)
        _held.append(held)
        del _held[:-_MOST_HELD]


def _check_structure(model: ModelProto, manifest: Manifest) -> None:
    """Refuse loops and branches, functions in functions, other files and foreign operators.

    A graph for ONNX Runtime's CPU alone may have those of its operators that we write, outside of functions.
    """
    graph, functions = model.graph, {(item.domain, item.name): len(item.node) for item in model.functions}
    nodes = sum(functions.get((node.domain, node.op_type), 1) for node in graph.node)
    if nodes > MOST_NODES:
        raise BadInput(f"a graph must have at most {MOST_NODES} nodes, found {nodes}")
    for where, node in _nodes(model):
        own = manifest.for_runner == ORT_CPU and where is None and node.domain == DOMAIN
        if node.domain not in _DOMAINS and not own:
            raise BadInput(f"operators must be ONNX's own or of resnas, found the domain {shown(node.domain)}")
        if where is not None and (node.domain, node.op_type) in functions:
            raise BadInput(f"a function must be made of operators alone, found {shown(node.op_type)} in another")
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            raise BadInput(f"a graph must have no graphs inside, found one in {shown(node.op_type)}")
    check_operators(graph)
    if graph.sparse_initializer:
        raise BadInput("weights must be dense, found sparse ones")
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise BadInput(f"weights must be in the graph's own file, found {shown(tensor.name)} in another")


def _nodes(model: ModelProto) -> Iterator[tuple[FunctionProto | None, NodeProto]]:
    yield from ((None, node) for node in model.graph.node)
    for function in model.functions:
        yield from ((function, node) for node in function.node)


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for _, node in _nodes(model):
        for attribute in node.attribute:
            yield from tensors_in(attribute)


def tensors_in(attribute: AttributeProto) -> Iterator[TensorProto]:
    """Yield the tensors of an operator's attribute, and those that its sparse ones are made of."""
    yield from chain([attribute.t] if attribute.HasField("t") else [], attribute.tensors)
    sparse = chain([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else [], attribute.sparse_tensors)
    yield from (part for item in sparse for part in (item.values, item.indices))


def _check_edges(model: ModelProto, manifest: Manifest) -> None:
    """Require one input and one output, as the manifest says."""
    size, least = manifest.arch.image_size, manifest.batch.least if manifest.batch.fixed else None
    taken = input_named(manifest.input)
    for what, values, name, kind, shape in (
        ("input", model.graph.input, INPUT, taken, taken.dims(size)),
        ("output", model.graph.output, OUTPUT, FLOAT32, (manifest.arch.classes,)),
    ):
        found = [(value.name, value.type.tensor_type.elem_type, dims_of(value)) for value in values]
        if found != [(name, kind.onnx, [least, *shape])]:
            wanted = ", ".join(["B" if least is None else str(least), *map(str, shape)])
            raise BadInput(f"the {what} must be {name}, {kind.name} ({wanted}), found {shown(tuple(found), 100)}")


def _check_sizes(model: ModelProto, manifest: Manifest) -> None:
    """Require that types and shapes follow from each other, and no tensor far larger than the architecture's."""
    light = without_weights(model)
    in_standard_operators(light.graph)
    inferred = shape_inference.infer_shapes(light, check_type=True, strict_mode=True, data_prop=True)
    values = sum(cost.values for cost in breakdown(manifest.arch))
    most = _SPARE * values * manifest.batch.least + _BESIDE
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        if math.prod(dim or manifest.batch.least for dim in dims_of(value)) > most:
            raise BadInput(f"no tensor may have more than {most} values, found {shown(value.name)} of {dims_of(value)}")


def dims_of(value: ValueInfoProto) -> list[int | None]:
    """Return its shape; None where a size is not fixed."""
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]
