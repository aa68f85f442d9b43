"""ONNX models without the values of their large weights: read so from a file, or made of a model that was read whole.

Nodes, shapes and small constants are some hundred kilobytes of a graph of hundreds of megabytes, and all that most
questions are about. Read by protobuf it is in memory twice, as bytes and as messages, and ONNX's checker makes copies
of its own. So the fields are walked here (https://protobuf.dev/programming-guides/encoding/), the values are stepped
over, and protobuf and the checker are given the rest.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from google.protobuf.message import Message
from onnx import ModelProto, TensorProto, checker, helper

from resnas_deploy.errors import BadInput, shown

SMALL = 1024  # values of a constant that shapes may depend on
_KEPT = 8 * SMALL  # bytes that are not stepped over: so many values have no more
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # fields of a model, of its graph, and of a tensor there (onnx.proto)
_VARINT, _LENGTH = 0, 2  # wire types
_FIXED = {1: 8, 5: 4}  # bytes of others; those of groups are in no ONNX file
_MOST_SHIFT = 63  # of a varint's last seven bits
_VALUES = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
_BITS: dict[int, int] = {  # of numbers that share bytes
    **dict.fromkeys((TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1), 4),
    **dict.fromkeys((TensorProto.INT2, TensorProto.UINT2), 2),
}

Some = TypeVar("Some", bound=Message)


@dataclass(frozen=True)
class LightModel:
    """A model, and which of its initializers are there without their values."""

    model: ModelProto
    valueless: frozenset[int]  # their numbers

    def check(self) -> None:
        """Raise `checker.ValidationError` where ONNX's checker would, or `ValueError` for weights that are no numbers.

        It is given one number of each weight that is without: what it says of weights hangs on bytes and shape, and
        these were compared when the values were stepped over.
        """
        copied = ModelProto()
        copied.CopyFrom(self.model)
        for number in self.valueless:
            tensor = copied.graph.initializer[number]
            tensor.ClearField("dims")
            tensor.dims.append(1)
            tensor.raw_data = bytes(bytes_of(tensor))
        checker.check_model(copied)


def read_light(file: BinaryIO, size: int) -> LightModel:
    """Return the model in a file of `size` bytes, open at its beginning, without the values of large initializers.

    Raise `ValueError` or protobuf's `DecodeError` for what is no whole model, and `BadInput` or `ValueError` where a
    weight has other bytes than its shape says.
    """
    walk = _Walk(file, size)
    model: ModelProto = ModelProto.FromString(walk.model())
    return _light(model, walk.lengths)


def light_of(model: ModelProto) -> LightModel:
    """Return the same of a whole model, which stays as it is."""
    light = _without(model, ("graph",))
    light.graph.CopyFrom(_without(model.graph, ("initializer",)))
    lengths = list[int | None]()
    for tensor in model.graph.initializer:
        length = len(tensor.raw_data)
        lengths.append(length if length > _KEPT else None)
        light.graph.initializer.append(_without(tensor, ("raw_data",) if length > _KEPT else ()))
    return _light(light, lengths)


def without_weights(model: ModelProto) -> ModelProto:
    """Return the model without the values of large constants, which no shape depends on. They are not copied."""
    light = _without(model, ("graph",))
    light.graph.CopyFrom(_without(model.graph, ("initializer",)))
    for tensor in model.graph.initializer:
        light.graph.initializer.append(_without(tensor, _VALUES if math.prod(tensor.dims) > SMALL else ()))
    return light


def bytes_of(tensor: TensorProto) -> int:
    """Return how many bytes a tensor's values have, by shape and type. Raise `BadInput` where they are no numbers."""
    unsized = (TensorProto.UNDEFINED, TensorProto.STRING)
    if (
        tensor.data_type in unsized
        or tensor.data_type not in TensorProto.DataType.values()
        or any(dim < 0 for dim in tensor.dims)
    ):
        raise BadInput(f"weights must be numbers with a shape, found {shown(tensor.name)}")
    values = math.prod(tensor.dims)
    if bits := _BITS.get(tensor.data_type):
        return (values * bits + 7) // 8
    size: int = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return values * size


def _light(model: ModelProto, lengths: list[int | None]) -> LightModel:
    valueless = set[int]()
    for number, (tensor, length) in enumerate(zip(model.graph.initializer, lengths, strict=True)):
        if length is None:
            continue
        tensor.ClearField("raw_data")  # of a tensor that has the field twice
        if any(getattr(tensor, name) for name in _VALUES) or tensor.string_data:
            raise ValueError(f"the weight {shown(tensor.name)} has values twice")
        if length != (wanted := bytes_of(tensor)):
            raise ValueError(f"the weight {shown(tensor.name)} must have {wanted} bytes by its shape, it has {length}")
        valueless.add(number)
    return LightModel(model, frozenset(valueless))


def _without(message: Some, left_out: Collection[str]) -> Some:
    """Return a copy without some fields."""
    copied = type(message)()
    for field, value in message.ListFields():
        if field.name in left_out:
            continue
        if field.is_repeated:
            getattr(copied, field.name).extend(value)
        elif field.message_type:
            getattr(copied, field.name).CopyFrom(value)
        else:
            setattr(copied, field.name, value)
    return copied


class _Walk:
    """Walks the fields of a model in a file, and copies them but for the values of large initializers."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size, self._at = file, size, 0
        self.lengths: list[int | None] = []  # of the values of each initializer that were left out

    def model(self) -> bytes:
        """Return the model's fields."""
        return self._copied(self._size, _GRAPH, self._graph)

    def _graph(self, end: int) -> bytes:
        return self._copied(end, _INITIALIZER, self._tensor)

    def _copied(self, end: int, lighter: int, light: Callable[[int], bytes]) -> bytes:
        """Return the fields up to `end`, those of one number as `light` returns them."""
        content = bytearray()
        for number, head, length in self._fields(end, content):
            if number == lighter:
                content += _field(lighter, light(self._at + length))
            else:
                content += head + self._read(length)
        return bytes(content)

    def _tensor(self, end: int) -> bytes:
        content, left_out = bytearray(), None
        for number, head, length in self._fields(end, content):
            if number == _RAW_DATA:
                left_out = length if length > _KEPT else None  # the last one counts
            if number == _RAW_DATA and length > _KEPT:
                self._file.seek(length, os.SEEK_CUR)
                self._at += length
            else:
                content += head + self._read(length)
        self.lengths.append(left_out)
        return bytes(content)

    def _fields(self, end: int, content: bytearray) -> Iterator[tuple[int, bytes, int]]:
        """Yield number, head and length of each field that has a length; the others are added to `content`."""
        while self._at < end:
            key, head = self._varint()
            number, wire = key >> 3, key & 7
            if wire == _LENGTH:
                length, more = self._varint()
                if length > end - self._at:
                    raise ValueError("a field that is longer than what it lies in")
                yield number, head + more, length
            elif wire == _VARINT:
                content += head + self._varint()[1]
            elif wire in _FIXED:
                content += head + self._read(_FIXED[wire])
            else:
                raise ValueError(f"a field of wire type {wire}")
        if self._at != end:
            raise ValueError("a field that ends beyond what it lies in")

    def _varint(self) -> tuple[int, bytes]:
        """Return a number and its bytes, which need not be the fewest."""
        value, content = 0, b""
        for shift in range(0, _MOST_SHIFT + 1, 7):
            content += self._read(1)
            value |= (content[-1] & 0x7F) << shift
            if content[-1] < 0x80:
                return value, content
        raise ValueError("a number of more than ten bytes")

    def _read(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) != count:
            raise ValueError("a file that is cut short")
        self._at += count
        return content


def _field(number: int, content: bytes) -> bytes:
    length, out = len(content), bytearray([number << 3 | _LENGTH])
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes(out) + bytes([length]) + content
