"""Writes an ONNX model as a stream, so that its weights are never all in memory a second time.

The bytes are those that protobuf's own deterministic serialisation gives: fields in ascending order, a length before
each message (protobuf encoding guide; numbers of the fields from onnx.proto). Only the lengths of the weights must be
known ahead, and shapes and types tell them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from onnx import GraphProto, ModelProto, TensorProto

from resnas_deploy.errors import BadInput
from resnas_deploy.graph.nodes import Weight

MODEL_GRAPH, GRAPH_INITIALIZER, TENSOR_RAW_DATA = 7, 5, 9  # field numbers
MODEL_AFTER_GRAPH = ("opset_import", "metadata_props", "training_info", "functions", "configuration")
GRAPH_AFTER_INITIALIZER = ("doc_string", "input", "output", "value_info", "quantization_annotation")
MAX_BYTES = 2**31 - 1  # of a protobuf message

Message = TypeVar("Message", ModelProto, GraphProto)


class Writable(Protocol):
    """What a model is written to: a file, or memory."""

    def write(self, content: bytes | memoryview, /) -> int:
        """Take the next bytes. Return their number."""
        ...


def write_model(model: ModelProto, weights: Iterable[Weight], file: Writable) -> int:
    """Write `model`, whose graph has no initializers yet, with `weights` as its own. Return the bytes written.

    Raise `BadInput` where the model would outgrow what a protobuf message can hold.
    """
    before, after = _split(model, MODEL_AFTER_GRAPH)
    before.ClearField("graph")
    graph_before, graph_after = _split(model.graph, GRAPH_AFTER_INITIALIZER)
    headers = [(weight, *_headers(weight)) for weight in weights]
    graph_bytes = (len(graph_before.SerializeToString()) + len(graph_after.SerializeToString())) + sum(
        len(outer) + len(inner) + math.prod(weight.shape) * weight.dtype.itemsize for weight, outer, inner in headers
    )
    if graph_bytes > MAX_BYTES - 2**20:
        raise BadInput(
            f"an ONNX model must stay under 2 GiB, found {graph_bytes / 2**30:.1f} GiB of weights; "
            "export a smaller network, or with `precision` fp16 or bf16"
        )
    written = file.write(before.SerializeToString(deterministic=True))
    written += file.write(_key(MODEL_GRAPH) + _varint(graph_bytes))
    written += file.write(graph_before.SerializeToString(deterministic=True))
    for weight, outer, inner in headers:
        written += file.write(outer + inner) + _write_values(weight, file)
    written += file.write(graph_after.SerializeToString(deterministic=True))
    written += file.write(after.SerializeToString(deterministic=True))
    return written


def _write_values(weight: Weight, file: Writable) -> int:
    """Make, write and forget a weight's values."""
    values = weight.make()
    if values.shape != weight.shape or values.dtype != weight.dtype:
        raise ValueError(
            f"{weight.name} was declared {weight.shape} {weight.dtype}, made {values.shape} {values.dtype}"
        )
    return file.write(values.reshape(-1).view("u1").data)


def _headers(weight: Weight) -> tuple[bytes, bytes]:
    """Return what stands before the values: the graph's field with the tensor's length, and the tensor's others."""
    tensor = TensorProto(dims=weight.shape, data_type=weight.onnx_type, name=weight.name)
    count = math.prod(weight.shape) * weight.dtype.itemsize
    inner = tensor.SerializeToString(deterministic=True) + _key(TENSOR_RAW_DATA) + _varint(count)
    return _key(GRAPH_INITIALIZER) + _varint(len(inner) + count), inner


def _split(message: Message, later: Sequence[str]) -> tuple[Message, Message]:
    before, after = type(message)(), type(message)()
    before.CopyFrom(message)
    after.CopyFrom(message)
    for field, _ in message.ListFields():
        (before if field.name in later else after).ClearField(field.name)
    return before, after


def _key(field: int) -> bytes:
    return _varint(field << 3 | 2)  # wire type 2: a length, then as many bytes


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
