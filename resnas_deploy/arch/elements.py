"""The parts of a network in the order of computation: the one walk over an architecture.

Everything that follows the structure (cost, tensor shapes, the PyTorch module, the ONNX graph) is written over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from resnas_deploy.arch.mixer import Mixer
from resnas_deploy.arch.spec import ArchSpec, Block

INPUT, OUTPUT = "images", "logits"  # of a network, in every graph, engine and server
NORM_EPS = 1e-6  # of every LayerNorm of this family
BATCH_NORM_EPS = 1e-5  # of the stem's batch normalisations


@dataclass(frozen=True)
class StemElement:
    """Image `(B, 3, S, S)` to tokens `(B, 1 + side * side, width)`, class token and position embedding included."""

    name: str
    width: int
    mid_width: int
    image_size: int
    patch_size: int
    side: int


@dataclass(frozen=True)
class BlockElement:
    """A transformer block on `(B, 1 + side * side, width)`."""

    name: str
    width: int
    block: Block
    side: int
    last: bool  # the network's last: only its class token is read

    @property
    def mixer(self) -> Mixer:
        """What the block's mixer is on this grid."""
        return self.block.mixer_at(self.side)


@dataclass(frozen=True)
class ReductionElement:
    """A residual spatial reduction: `(B, 1 + side * side, width)` to `(B, 1 + out_side * out_side, out_width)`.

    Of an odd side the last row and column have no other beside them: the residual is their mean alone, and the
    convolution reads its padding there, as it does at the first ones.
    """

    name: str
    width: int
    out_width: int
    side: int

    @property
    def out_side(self) -> int:
        """Patch tokens a side after it: half, rounded up."""
        return (self.side + 1) // 2


@dataclass(frozen=True)
class HeadElement:
    """Final norm and linear head on the class token: `(B, 1 + side * side, width)` to `(B, classes)`."""

    name: str
    width: int
    classes: int


Element = StemElement | BlockElement | ReductionElement | HeadElement


def elements(arch: ArchSpec) -> Iterator[Element]:
    """Return the network's parts in the order of computation, each under the name that it has everywhere.

    Names: `stem`, `stage1.block1` .., `reduction1`, `stage2.block1` .., and so on, `head`.
    """
    first, final, final_index = arch.stages[0], arch.stages[-1], len(arch.stages) - 1
    yield StemElement("stem", first.width, arch.stem_mid_width, arch.image_size, arch.patch_size, arch.side(0))
    for index, stage in enumerate(arch.stages):
        side, width, names = arch.side(index), stage.width, _block_names(index, len(stage.blocks))
        last = len(stage.blocks) - 1 if index == final_index else None
        for number, block in enumerate(stage.blocks):
            yield BlockElement(names[number], width, block, side, number == last)
        if index < final_index:
            yield ReductionElement(f"reduction{index + 1}", width, arch.stages[index + 1].width, side)
    yield HeadElement("head", final.width, arch.classes)


@cache
def _block_names(stage: int, blocks: int) -> tuple[str, ...]:
    return tuple(f"stage{stage + 1}.block{number}" for number in range(1, blocks + 1))
