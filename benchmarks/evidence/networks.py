"""The networks of the experiments: a space with sizes and depths far apart, and deep and shallow networks."""

from __future__ import annotations

import numpy as np

from evidence import pairs
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.arch.spec import ArchSpec, Block, Stage, Subnet

PATCH = 4  # pixels: 8 x 8, 4 x 4 and 2 x 2 tokens
WIDTHS, HEADS, HEAD_DIM, HIDDEN_OVER_WIDTH = (32, 64, 128), (2, 4, 8), 16, 2  # of deep and shallow networks

# Depth 2 to 8 a stage: of eight blocks the first and the fifth stay. Heads and hidden channels over 4x, the first
# stage's width over 4x; later ones less, for each must be at least as wide as the widest of the stage before.
SPACE = SearchSpace(
    "wide",
    (
        StageSpace((64, 48, 32, 16), (4, 3, 2, 1), (16,), (256, 192, 128, 64, 32), 8, (2, 3, 4, 6, 7, 8)),
        StageSpace((128, 96, 64), (8, 6, 4, 2), (16,), (384, 256, 192, 128, 64), 8, (2, 3, 4, 6, 7, 8)),
        StageSpace((192, 160, 128), (12, 8, 4, 3), (16,), (512, 384, 256, 128), 8, (2, 3, 4, 6, 7, 8)),
    ),
    pairs.CLASSES,
    pairs.SIDE,
    PATCH,
    (16,),
)


def between_ends(share: float, rng: np.random.Generator) -> Subnet:
    """Draw a subnet that lies a share of the way, from 0 to 1, from the narrowest on towards the widest.

    Random subnets alone are too much alike: trained alone, they differ hardly more than seeds do. The way ends before
    the widest, whose training takes as long as that of three others.
    """
    return SPACE.blend(SPACE.narrowest(), SPACE.widest(), 0.7 * share, rng)


def network(depth: int) -> ArchSpec:
    """Return a network of so many blocks a stage."""
    stages = (
        Stage(width, (Block(heads, HEAD_DIM, HIDDEN_OVER_WIDTH * width),) * depth)
        for width, heads in zip(WIDTHS, HEADS, strict=True)
    )
    return ArchSpec(tuple(stages), pairs.CLASSES, pairs.SIDE, PATCH, 16)
