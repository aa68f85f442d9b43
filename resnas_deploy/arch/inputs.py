"""What a network takes: normalised images, or the bytes of image pixels. The one table of an input's shape and type."""

from __future__ import annotations

from dataclasses import dataclass

from resnas_deploy.errors import BadInput, shown


@dataclass(frozen=True)
class InputKind:
    """A form of a network's input `images`."""

    name: str  # what NumPy and PyTorch call its type
    bytes: int  # of one value
    channels_last: bool  # (B, S, S, 3), as images lie in memory, instead of (B, 3, S, S)
    onnx: int  # its type in TensorProto.DataType
    triton: str  # what Triton's protocol calls it; its configurations say TYPE_ before that
    holds: str  # what its values are
    says: str  # what is excluded from a time that begins with it

    def dims(self, side: int) -> tuple[int, int, int]:
        """Return the shape of one image of `side` pixels."""
        return (side, side, 3) if self.channels_last else (3, side, side)

    def shape(self, batch: int, side: int) -> tuple[int, int, int, int]:
        """Return the shape of a batch."""
        return (batch, *self.dims(side))

    @property
    def letters(self) -> str:
        """The shape of one image of S pixels, for people."""
        return "(S, S, 3)" if self.channels_last else "(3, S, S)"

    def image_bytes(self, side: int) -> int:
        """Return how many bytes one image has."""
        return 3 * side * side * self.bytes

    def describe(self, side: int) -> str:
        """Say what it is, for people."""
        shape = ", ".join(map(str, self.dims(side)))
        return f"{self.name} (B, {shape}), {self.holds}, {self.image_bytes(side):,} bytes an image"

    def boundary(self, side: int) -> str:
        """Return what a time that begins with it says of its images."""
        return self.says.format(bytes=self.image_bytes(side))


FLOAT32 = InputKind("float32", 4, False, 1, "FP32", "normalised", "preprocessing excluded")
UINT8 = InputKind(
    "uint8",
    1,
    True,
    2,
    "UINT8",
    "as it is cropped",
    "uint8 images of {bytes:,} bytes, decoding and cropping excluded, normalising not",
)
INPUTS = {kind.name: kind for kind in (FLOAT32, UINT8)}


def input_named(name: str) -> InputKind:
    """Return the input of that name. Raise `BadInput` that lists the known ones."""
    if name not in INPUTS:
        raise BadInput(f"`input` must be one of {', '.join(INPUTS)}, found {shown(name)}")
    return INPUTS[name]
