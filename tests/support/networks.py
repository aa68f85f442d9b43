"""Small networks, hypothesis strategies that draw such ones, and the golden data of the paper's release."""

from __future__ import annotations

import functools

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.places import GOLDEN
from support.small_spaces import MIXERS

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Block, Stage, Subnet
from resnas_deploy.weights.checkpoint import Checkpoint
from resnas_deploy.weights.space_files import space_named
from resnas_deploy.weights.vit_search.importer import import_checkpoint

# Every dimension differs from every other that it could be mistaken for; 8, 4 and 2 tokens a side.
SMALL = ArchSpec(
    (
        Stage(6, (Block(2, 4, 10), Block(3, 4, 7))),
        Stage(9, (Block(1, 5, 12),)),
        Stage(11, (Block(2, 3, 13), Block(4, 3, 5))),
    ),
    classes=3,
    image_size=32,
    patch_size=4,
    stem_mid_width=2,
)
PLAIN = ArchSpec(SMALL.stages, classes=3, image_size=24, patch_size=3, stem_mid_width=0)

_mixers = st.one_of(st.just("global"), st.sampled_from(MIXERS))
_blocks = st.builds(
    Block,
    heads=st.integers(1, 4),
    head_dim=st.integers(1, 6),
    hidden=st.integers(1, 12),
    mixer=_mixers,
)


@st.composite
def arch_specs(draw: st.DrawFn) -> ArchSpec:
    """Networks of two to four stages of one to three blocks and at most 12 channels, with either stem."""
    widths = sorted(draw(st.lists(st.integers(1, 12), min_size=2, max_size=4)))
    mid = draw(st.integers(0, 3))
    patch = draw(st.sampled_from((2, 4, 6, 8)) if mid else st.integers(1, 8))
    return ArchSpec(
        tuple(Stage(width, tuple(draw(st.lists(_blocks, min_size=1, max_size=3)))) for width in widths),
        classes=draw(st.integers(1, 5)),
        image_size=patch * draw(st.integers(1, 12)),  # odd grids among them
        patch_size=patch,
        stem_mid_width=mid,
    )


@st.composite
def kept_flags(draw: st.DrawFn, arch: ArchSpec) -> tuple[tuple[bool, ...], ...]:
    """Flags of a subnet of `arch`: at least one block of each stage stays."""
    flags = st.booleans()
    return tuple(
        tuple(draw(st.lists(flags, min_size=n, max_size=n).filter(any))) for n in (len(s.blocks) for s in arch.stages)
    )


@st.composite
def subnets(draw: st.DrawFn) -> Subnet:
    """Small networks with blocks dropped."""
    arch = draw(arch_specs())
    return Subnet(arch, draw(kept_flags(arch)))


@st.composite
def subnets_inside(draw: st.DrawFn, arch: ArchSpec) -> Subnet:
    """Subnets whose weights are leading slices of those of `arch`."""
    stages, narrowest = list[Stage](), 1
    for stage in arch.stages:
        narrowest = draw(st.integers(narrowest, stage.width))
        blocks = tuple(
            Block(*(draw(st.integers(1, most)) for most in (b.heads, b.head_dim, b.hidden)), draw(_mixers))
            for b in stage.blocks
        )
        stages.append(Stage(narrowest, blocks))
    mid = draw(st.integers(1, arch.stem_mid_width)) if arch.stem_mid_width else 0
    full = ArchSpec(tuple(stages), arch.classes, arch.image_size, arch.patch_size, mid)
    return Subnet(full, draw(kept_flags(full)))


def golden_text(name: str) -> str:
    return (GOLDEN / name).read_text(encoding="utf-8")


def golden_arrays(name: str) -> dict[str, NDArray[np.float32]]:
    with np.load(GOLDEN / name) as arrays:
        return dict(arrays)


@functools.cache
def mini() -> Checkpoint:
    """The reference's small trained-format network: 112 pixels, 10 classes."""
    return import_checkpoint(GOLDEN / "vit_search_mini.pth.tar", golden_text("vit_search_mini.network_def.txt"))


@functools.cache
def supernet_definitions() -> tuple[str, ...]:
    """The reference's small supernet and two of its subnets."""
    return tuple(golden_text("vit_search_supernet_mini.network_defs.txt").splitlines())


@functools.cache
def supernet_mini() -> Checkpoint:
    return import_checkpoint(GOLDEN / "vit_search_supernet_mini.pth.tar", supernet_definitions()[0])


def golden_space(name: str) -> SearchSpace:
    """A space of that supernet: `mini` with those two subnets, or `few`, of which all subnets can be tried."""
    return space_named(GOLDEN / "spaces" / f"{name}.toml")
