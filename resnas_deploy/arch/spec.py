"""The architecture of a ViT-ResNAS network as frozen data (arXiv 2109.00642, section 3). No torch, no weights.

`ArchSpec` says what the network is, `Subnet` which blocks of a larger one it keeps.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress

from resnas_deploy.arch.mixer import GLOBAL, Mixer, mixer_named
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.records import as_json

FEWEST_STAGES, MOST_STAGES = 2, 4
MAX_DIMENSION = 65_536  # a bound on every number of a spec, so that a typing error cannot ask for terabytes
MAX_SIDE = 2048  # pixels of an image, which preprocessing makes
MAX_BLOCKS = 64  # blocks of one stage


def positive(value: object, field: str, most: int = MAX_DIMENSION) -> int:
    """Return `value` if it is an integer from 1 to `most`. Raise `BadInput` naming `field` for another."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadInput(f"{field} must be an integer from 1 to {most}, found {shown(value)}")
    return value


@dataclass(frozen=True)
class Block:
    """One transformer block's own dimensions. heads x head_dim need not equal the stage's width."""

    heads: int  # attention heads
    head_dim: int  # channels of one head
    hidden: int  # hidden channels of the MLP
    mixer: str = field(  # which tokens attend to which: a name of `arch.mixer`
        default=GLOBAL,
        metadata=as_json(
            kind=str | None,
            read=lambda name: GLOBAL if name is None else name,
            write=lambda name: None if name == GLOBAL else name,
        ),
    )

    @property
    def inner(self) -> int:
        """Channels of all heads together: the width of each of q, k and v."""
        return self.heads * self.head_dim

    def mixer_at(self, side: int) -> Mixer:
        """Return what its mixer is on a grid of `side` x `side` patch tokens."""
        return mixer_named(self.mixer).at(side)


@dataclass(frozen=True)
class Stage:
    """Blocks that share an embedding width and a token grid."""

    width: int  # embedding width, channels
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class ArchSpec:
    """A network: two to four stages, reductions between them, a convolutional stem before and a linear head after.

    The token grid has `image_size / patch_size` tokens a side in stage 1 and half as many, rounded up, in each later
    stage.
    Raises `BadInput` for a network that cannot exist.
    """

    stages: tuple[Stage, ...]
    classes: int = 1000
    image_size: int = 224  # pixels a side
    patch_size: int = 14  # pixels a side of one token of stage 1
    stem_mid_width: int = 24  # channels of the stem's 3x3 convolutions; 0: no such, a plain patch convolution

    def __post_init__(self) -> None:
        if not FEWEST_STAGES <= len(self.stages) <= MOST_STAGES:
            raise BadInput(f"stages must be {FEWEST_STAGES} to {MOST_STAGES} stages, found {len(self.stages)}")
        for number, stage in enumerate(self.stages):
            _check_stage(stage, f"stages[{number}]")
        for number, (stage, following) in enumerate(zip(self.stages, self.stages[1:], strict=False)):
            if following.width < stage.width:
                raise BadInput(
                    f"stages[{number + 1}].width must be at least stages[{number}].width = {stage.width} "
                    f"(a reduction's residual is padded, never cut), found {following.width}"
                )
        positive(self.classes, "classes")
        positive(self.patch_size, "patch_size")
        positive(self.image_size, "image_size")
        if type(self.stem_mid_width) is not int or self.stem_mid_width != 0:  # False and 0.0 equal 0 too
            positive(self.stem_mid_width, "stem_mid_width, unless 0 for a plain stem,")
            if self.patch_size % 2:
                raise BadInput(
                    "patch_size must be even, since the stem halves the image first (a plain stem, of mid width 0, "
                    f"does not), found {self.patch_size}"
                )
        if self.image_size % self.patch_size:
            nearest = max(1, round(self.image_size / self.patch_size)) * self.patch_size
            raise BadInput(
                f"image_size must be a multiple of patch_size = {self.patch_size}, "
                f"found {self.image_size}; the nearest is {nearest}"
            )

    def side(self, stage: int) -> int:
        """Return the patch tokens a side in a stage (counted from 0): halved for each before it, and rounded up."""
        return grid_side(self.image_size, self.patch_size, stage)

    @property
    def last_side(self) -> int:
        """The patch tokens a side in the last stage."""
        return self.side(len(self.stages) - 1)

    @property
    def last_cell(self) -> int:
        """The pixels a side that a patch token of the last stage stands for. Cells begin at the image's upper left.

        Where the image is no multiple of it, the lowest and the rightmost ones reach over its edge.
        """
        return self.patch_size << len(self.stages) - 1

    def with_image_size(self, image_size: int) -> ArchSpec:
        """Return the same network on images of another size."""
        return replace(self, image_size=image_size)

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON; `from_json` is its inverse."""
        return {
            "stages": [
                {
                    "width": stage.width,
                    "blocks": [_block_to_json(block) for block in stage.blocks],
                }
                for stage in self.stages
            ],
            "classes": self.classes,
            "image_size": self.image_size,
            "patch_size": self.patch_size,
            "stem_mid_width": self.stem_mid_width,
        }

    @staticmethod
    def from_json(data: object) -> ArchSpec:
        """Read what `to_json` wrote. Raise `BadInput` that names the field, what it must be and what it is."""
        fields = _fields(
            data, "the architecture", ("stages",), ("classes", "image_size", "patch_size", "stem_mid_width")
        )
        stages = _items(fields.pop("stages"), "stages")
        return ArchSpec(
            stages=tuple(_stage_from_json(stage, f"stages[{number}]") for number, stage in enumerate(stages)),
            **fields,  # type: ignore[arg-type]  # ArchSpec checks that each is an integer
        )

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name this architecture; stable across versions and machines."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Subnet:
    """A network inside a larger one: every position of `full`, of which the blocks marked in `kept` remain."""

    full: ArchSpec
    kept: tuple[tuple[bool, ...], ...]  # a flag for each block of each stage

    def __post_init__(self) -> None:
        if [len(flags) for flags in self.kept] != [len(stage.blocks) for stage in self.full.stages]:
            raise BadInput("kept must have one flag for each block of each stage")
        for number, flags in enumerate(self.kept):
            if not any(flags):
                raise BadInput(f"stage {number + 1} must keep at least one block, found every block dropped")

    @staticmethod
    def whole(arch: ArchSpec) -> Subnet:
        """Return the subnet that drops nothing."""
        return Subnet(arch, tuple((True,) * len(stage.blocks) for stage in arch.stages))

    @cached_property  # a search asks for it again and again
    def arch(self) -> ArchSpec:
        """The network that remains."""
        stages = tuple(
            Stage(stage.width, tuple(compress(stage.blocks, flags)))
            for stage, flags in zip(self.full.stages, self.kept, strict=True)
        )
        full = self.full
        return ArchSpec(stages, full.classes, full.image_size, full.patch_size, full.stem_mid_width)


def grid_side(image_size: int, patch_size: int, stage: int) -> int:
    """Return the patch tokens a side in a stage (counted from 0): each reduction halves them and rounds up."""
    return -(-image_size // patch_size >> stage)


def _check_stage(stage: Stage, field: str) -> None:
    positive(stage.width, f"{field}.width")
    if not 1 <= len(stage.blocks) <= MAX_BLOCKS:
        raise BadInput(f"{field}.blocks must be 1 to {MAX_BLOCKS} blocks, found {len(stage.blocks)}")
    for number, block in enumerate(stage.blocks):
        heads, head_dim, hidden = block.heads, block.head_dim, block.hidden
        if (
            type(heads) is type(head_dim) is type(hidden) is int
            and 0 < heads <= MAX_DIMENSION
            and 0 < head_dim <= MAX_DIMENSION
            and 0 < hidden <= MAX_DIMENSION
            and block.mixer == GLOBAL
        ):
            continue  # a search makes thousands of blocks a second, and the names of fields are for messages alone
        positive(block.heads, f"{field}.blocks[{number}].heads")
        positive(block.head_dim, f"{field}.blocks[{number}].head_dim")
        positive(block.hidden, f"{field}.blocks[{number}].hidden")
        mixer_named(block.mixer, f"{field}.blocks[{number}].mixer")


def _block_to_json(block: Block) -> dict[str, object]:
    sizes: dict[str, object] = {"heads": block.heads, "head_dim": block.head_dim, "hidden": block.hidden}
    return sizes if block.mixer == GLOBAL else sizes | {"mixer": block.mixer}


def _stage_from_json(data: object, field: str) -> Stage:
    fields = _fields(data, field, ("width", "blocks"))
    blocks = []
    for number, item in enumerate(_items(fields["blocks"], f"{field}.blocks")):
        name = f"{field}.blocks[{number}]"
        values = _fields(item, name, ("heads", "head_dim", "hidden"), ("mixer",))
        mixer = mixer_named(values.pop("mixer", GLOBAL), f"{name}.mixer")
        sizes = {key: positive(value, f"{name}.{key}") for key, value in values.items()}
        blocks.append(Block(**sizes, mixer=str(mixer)))
    return Stage(width=positive(fields["width"], f"{field}.width"), blocks=tuple(blocks))


def _fields(data: object, what: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, object]:
    if not isinstance(data, dict):
        raise BadInput(f"{what} must be a JSON object, found {shown(data)}")
    if missing := [name for name in required if name not in data]:
        raise BadInput(f"{what} must have the field {missing[0]!r}, found {repr(sorted(map(str, data)))[:60]}")
    if extra := [name for name in data if name not in required + optional]:
        raise BadInput(f"{what} has the unknown field {shown(extra[0])}; known are {', '.join(required + optional)}")
    return dict(data)


def _items(data: object, what: str) -> list[object]:
    if not isinstance(data, list):
        raise BadInput(f"{what} must be a list, found {shown(data)}")
    return data
