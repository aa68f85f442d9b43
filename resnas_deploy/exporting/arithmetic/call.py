"""One node of a graph that is computed in its own type: what it is given, and how it rounds what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor

from resnas_deploy.errors import BadInput
from resnas_deploy.precision import FLOATS, PRECISIONS

DTYPES: Mapping[int, torch.dtype] = {known.onnx: known.torch for known in PRECISIONS.values()} | {
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT64: torch.int64,
}
REAL = tuple(known.torch for known in FLOATS.values())


class Rounding(Protocol):
    """Rounds float32 values to a type, and takes note of the largest; `part` names what is inside an operator.

    With `saturates` only what is not finite before it is rounded counts, for what comes next bounds it.
    """

    def __call__(self, values: Tensor, dtype: torch.dtype, part: str = "", *, saturates: bool = False) -> Tensor:
        """Return the values in `dtype`."""
        ...


class Call:
    """A node with the values of its inputs. What is not asked of its attributes and inputs is an error (`finish`)."""

    def __init__(self, node: NodeProto, inputs: Sequence[Tensor | None], rounding: Rounding) -> None:
        self.node, self._inputs, self._round = node, inputs, rounding
        self._attributes: dict[str, object] = {}
        for item in node.attribute:
            try:
                self._attributes[item.name] = helper.get_attribute_value(item)
            except ValueError:
                raise self.refuse(f"with {item.name!r:.60} of another kind") from None
        self._read = set[int]()

    def refuse(self, what: str) -> BadInput:
        """Return what to raise for something that is not known here."""
        return BadInput(
            f"the graph's own arithmetic must be known of every operator, found {self.node.op_type} {what} "
            f"at {self.node.name or self.node.output[0]}; export the artifact again"
        )

    def has(self, number: int) -> bool:
        """Tell whether an optional input is given."""
        return number < len(self._inputs) and self._inputs[number] is not None

    def given(self, number: int) -> Tensor:
        """Return an input as it is."""
        self._read.add(number)
        if not self.has(number):
            raise self.refuse(f"without its input {number}")
        return cast(Tensor, self._inputs[number])

    def real(self, number: int) -> Tensor:
        """Return an input of floating-point numbers, in float32."""
        values = self.given(number)
        if values.dtype not in REAL:
            raise self.refuse(f"of {values.dtype}")
        return values.float()

    def ints(self, number: int) -> list[int]:
        """Return an input of whole numbers."""
        values = self.given(number)
        if values.dtype != torch.int64:
            raise self.refuse(f"with {values.dtype} where int64 must be")
        return [int(value) for value in values.reshape(-1).tolist()]

    def every(self) -> list[Tensor]:
        """Return all inputs, in float32."""
        return [self.real(number) for number in range(len(self._inputs))]

    def take(self, name: str, usual: object = None) -> object:
        """Return an attribute's value."""
        return self._attributes.pop(name, usual)

    def integer(self, name: str, usual: int) -> int:
        """Return a whole number."""
        return int(cast(int, self.take(name, usual)))

    def number(self, name: str, usual: float) -> float:
        """Return a number."""
        return float(cast(float, self.take(name, usual)))

    def whole(self, name: str, usual: Sequence[int]) -> list[int]:
        """Return a list of whole numbers."""
        return [int(value) for value in cast(Sequence[int], self.take(name, usual))]

    def must_be(self, name: str, *allowed: object) -> None:
        """Take an attribute that may have no other than these values, the first of which is the usual one."""
        value = self.take(name, allowed[0])
        if value not in allowed:
            raise self.refuse(f"with {name} = {value!r}")

    def rounded(self, values: Tensor, part: str = "", *, like: int = 0, saturates: bool = False) -> Tensor:
        """Round float32 values to the type of an input."""
        return self._round(values, self.given(like).dtype, part, saturates=saturates)

    def rounded_to(self, values: Tensor, dtype: torch.dtype, part: str = "") -> Tensor:
        """Round float32 values to that type."""
        return self._round(values, dtype, part)

    def finish(self) -> None:
        """Raise `BadInput` where an attribute or an input was passed over."""
        if self._attributes:
            raise self.refuse(f"with {', '.join(sorted(self._attributes))}")
        if ignored := [number for number in range(len(self._inputs)) if self.has(number) and number not in self._read]:
            raise self.refuse(f"with an input {ignored[0]}")


Outputs = Tensor | Sequence[Tensor]


def dtype_of(onnx_type: int) -> torch.dtype:
    """Return the type that ONNX calls so. Raise `BadInput` for one that our graphs do not have."""
    if onnx_type not in DTYPES:
        raise BadInput(
            f"the graph's own arithmetic must be known of every type, found {TensorProto.DataType.Name(onnx_type)}"
        )
    return DTYPES[onnx_type]


def tensor_of(proto: TensorProto) -> Tensor:
    """Return a constant of a graph, in its type."""
    dtype = dtype_of(proto.data_type)
    content = bytearray(numpy_helper.to_array(proto).tobytes())
    shape = tuple(proto.dims)
    if not content:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(content, dtype=dtype).reshape(shape)
