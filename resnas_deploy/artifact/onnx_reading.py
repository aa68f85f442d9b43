"""Reads an ONNX file of anybody's, with the weights that lie beside it: within bounds, and out of its folder alone.

Large exports keep weights in files beside the graph (onnx/onnx, docs/ExternalData.md). All of it together is read as
one graph, of at most what protobuf can hold. Graphs inside of operators (`If`, `Loop`) and operators of other domains
are let through: what they do when they run is the business of whoever brought the network.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, checker

from resnas_deploy.artifact.artifact import LFS_POINTER, MOST_GRAPH
from resnas_deploy.artifact.graph import MOST_NODES, tensors_in
from resnas_deploy.artifact.onnx_light import bytes_of, light_of
from resnas_deploy.errors import BadInput, first_line, shown, whole_number
from resnas_deploy.files.held import digest
from resnas_deploy.files.reading import name_of, opened, unreadable
from resnas_deploy.system import here

MOST_FILES = 1000  # beside the graph: older exporters write one for each weight
MOST_DEPTH = 50  # of functions in functions


@dataclass(frozen=True)
class ReadModel:
    """A graph with all its weights inside, and what it was read from."""

    model: ModelProto
    digest: str  # sha256 of the file, or where weights lie beside it, of the hashes of all
    bytes: int  # of the file itself
    beside: tuple[tuple[str, int], ...]  # names and sizes of the files with its weights


def read_model(path: Path) -> ReadModel:
    """Return the graph in a file. Raise `BadInput`, which names the file, for what is no whole ONNX graph."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_GRAPH:
            raise _refused(path, f"a file of {size} bytes")
        try:
            content = file.read(MOST_GRAPH + 1)
        except OSError as error:
            raise unreadable(path, error) from None
    if content.startswith(LFS_POINTER):
        raise BadInput(f"{name_of(path)} is a pointer of Git LFS, not the file itself; fetch that by: git lfs pull")
    if not content:
        raise _refused(path, "an empty file; export it again")
    own = hashlib.sha256(content).hexdigest()
    try:
        model = onnx.load_model_from_string(content)
        del content
        _check_counts(model)
        _check_text(model)
        hashes = _take_in(model, path, size)
        _check(model)
    except BadInput as error:
        raise BadInput(f"{name_of(path)}: {error}") from None
    except (DecodeError, checker.ValidationError, ValueError, RuntimeError, TypeError) as error:
        raise _refused(path, f"{first_line(error)}; export it again") from None
    beside = tuple((name, length) for name, (_, length) in sorted(hashes.items()))
    if hashes:
        listed = [own, *(f"{name} {found}" for name, (found, _) in sorted(hashes.items()))]
        own = hashlib.sha256("\n".join(listed).encode()).hexdigest()
    return ReadModel(model, own, size, beside)


def graphs_of(model: ModelProto) -> Iterator[GraphProto]:
    """Yield the graph, and every graph inside of an operator of it or of a function."""
    yield model.graph
    yield from graphs_in(model.graph.node)
    for function in model.functions:
        yield from graphs_in(function.node)


def nodes_of(model: ModelProto) -> Iterator[NodeProto]:
    """Yield every operator: of the graph, of functions, and of the graphs inside of these."""
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        yield from _nodes_in(nodes)


def constants_of(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every tensor that is written in the model: the initializers of all graphs, and attributes of operators."""
    for graph in graphs_of(model):
        yield from graph.initializer
    for node in nodes_of(model):
        for attribute in node.attribute:
            yield from tensors_in(attribute)


def _nodes_in(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    yield from nodes
    for graph in graphs_in(nodes):
        yield from graph.node


def graphs_in(nodes: Iterable[NodeProto]) -> Iterator[GraphProto]:
    """Yield the graphs that operators have as attributes, and those inside of them."""
    waiting = [nodes]
    while waiting:
        attributes = [attribute for node in waiting.pop() for attribute in node.attribute]
        for each in attributes:
            for graph in ([each.g] if each.HasField("g") else []) + list(each.graphs):
                yield graph
                waiting.append(graph.node)


def _refused(path: Path, found: str) -> BadInput:
    return BadInput(f"{name_of(path)} must be a whole ONNX graph of at most {MOST_GRAPH} bytes, found {found}")


def _check(model: ModelProto) -> None:
    """Have ONNX's checker look at it, which wants a shape of every output; the standard does without."""
    light = light_of(model)
    for value in light.model.graph.output:
        if value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"):
            value.type.tensor_type.shape.SetInParent()
    light.check()


def _check_counts(model: ModelProto) -> None:
    """Refuse what is no graph, too much of one, and functions that would never end."""
    if not model.HasField("graph") or not model.graph.node:
        raise BadInput("it must be an ONNX graph, found no operators; is it the right file?")
    if any(graph.sparse_initializer for graph in graphs_of(model)):
        raise BadInput("weights must be dense, found sparse ones")
    sizes: dict[tuple[str, str], int] = {}
    within = {(each.domain, each.name): Counter(map(_kind, _nodes_in(each.node))) for each in model.functions}

    def size(kind: tuple[str, str], inside: tuple[tuple[str, str], ...] = ()) -> int:
        if kind not in within:
            return 1
        if kind in inside or len(inside) > MOST_DEPTH:
            raise BadInput(f"functions must end, found {shown(kind[1])} in itself, or too deep in others")
        if kind not in sizes:
            sizes[kind] = sum(count * size(each, (*inside, kind)) for each, count in within[kind].items())
        return sizes[kind]

    found = sum(count * size(kind) for kind, count in Counter(map(_kind, nodes_of(model))).items())
    if found > MOST_NODES:
        raise BadInput(f"a graph must have at most {MOST_NODES} nodes, found {shown(found)}")


def _check_text(model: ModelProto) -> None:
    """Refuse names that cannot be shown: protobuf gives what is no UTF-8 as bytes; a terminal obeys escapes."""
    values = [*model.graph.input, *model.graph.output]
    names: list[object] = [model.producer_name, model.producer_version]
    names += [entry.domain for entry in model.opset_import]
    names += [part for each in model.functions for part in (each.domain, each.name)]
    names += [part for node in nodes_of(model) for part in (node.domain, node.op_type)]
    names += [
        part for value in values for part in (value.name, *(d.dim_param for d in value.type.tensor_type.shape.dim))
    ]
    if wrong := [name for name in names if not (isinstance(name, str) and name.isprintable())]:
        raise BadInput(f"names must be printable text, found {shown(wrong[0])}; is it whole?")


def _kind(node: NodeProto) -> tuple[str, str]:
    return node.domain, node.op_type


def _take_in(model: ModelProto, path: Path, taken: int) -> dict[str, tuple[str, int]]:
    """Put the weights that lie beside the graph into it. Return hash and size of each of these files, by name."""
    wanted: dict[str, list[TensorProto]] = {}
    for tensor in constants_of(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            wanted.setdefault(_location(tensor), []).append(tensor)
    if len(wanted) > MOST_FILES:
        raise BadInput(f"weights must lie in at most {MOST_FILES} files beside the graph, found {len(wanted)}")
    hashes = {}
    for name, tensors in wanted.items():
        descriptor = _open_beside(path, name)
        try:
            size = os.fstat(descriptor).st_size
            for tensor in tensors:
                taken += _load(tensor, descriptor, size, name, MOST_GRAPH - taken)
            hashes[name] = digest(descriptor), size
        except OSError as error:
            raise BadInput(f"{shown(name)} beside it cannot be read: {error.strerror}") from None
        finally:
            os.close(descriptor)
    return hashes


def _location(tensor: TensorProto) -> str:
    """Return the name of the file with a tensor. Raise `BadInput` unless it is a plain one, of the graph's folder."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    name = entries.get("location", "").removeprefix("./")
    if not name or name in (".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise BadInput(
            "weights must lie in files of the graph's own folder, named without a path, "
            f"found {shown(tensor.name)} in {shown(entries.get('location', ''))}"
        )
    return name


def _open_beside(path: Path, name: str) -> int:
    """Open a file of the graph's folder, which must not lead elsewhere."""
    try:
        folder = here.Folder(path.parent)
        try:
            descriptor = folder.open(name, follow=False)
        finally:
            folder.close()
    except FileNotFoundError:
        raise BadInput(f"its weights must lie beside it, found no {shown(name)}; copy that file to it too") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise BadInput(
                f"weights must not be links, found one at {shown(name)}; copy the folder with what its links lead to "
                "(cp -rL)"
            ) from None
        raise BadInput(f"{shown(name)} beside it cannot be read: {error.strerror}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_GRAPH:
        os.close(descriptor)
        raise BadInput(f"weights must lie in files of at most {MOST_GRAPH} bytes, found {shown(name)}")
    return descriptor


def _load(tensor: TensorProto, descriptor: int, size: int, name: str, most: int) -> int:
    """Read a tensor's values into it and return their number of bytes."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    offset = whole_number(entries.get("offset", "0"), 2**62)
    length, told = bytes_of(tensor), entries.get("length")
    if offset is None or (told is not None and whole_number(told, 2**62) != length):
        raise BadInput(
            f"{shown(tensor.name)} must have {length} bytes in {shown(name)}, found {shown(told)} at "
            f"{shown(entries.get('offset'))}; export it again"
        )
    if length > most:
        raise BadInput(f"graph and weights must have at most {MOST_GRAPH} bytes together, found more")
    values = here.read_at(descriptor, length, offset) if offset + length <= size else b""
    while 0 < len(values) < length and (more := here.read_at(descriptor, length - len(values), offset + len(values))):
        values += more
    if len(values) != length:
        if here.read_at(descriptor, len(LFS_POINTER), 0) == LFS_POINTER:
            raise BadInput(f"{shown(name)} beside it is a pointer of Git LFS; fetch the file by: git lfs pull")
        raise BadInput(f"{shown(name)} beside it must be whole, found it cut short; copy or export it again")
    tensor.ClearField("external_data")
    tensor.data_location = TensorProto.DEFAULT
    tensor.raw_data = values
    return length
