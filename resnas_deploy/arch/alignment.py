"""Alignment: the widths of a network rounded up to a multiple that a device's matrix units like. No weights.

The wider network computes the same logits (`export/align.py` says how); here is which widths it has and what they cost.
"""

from __future__ import annotations

import math
from dataclasses import replace

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.spec import ArchSpec, Block, Stage
from resnas_deploy.errors import BadInput, shown

ALIGNMENTS = (1, 8, 16, 32, 64)  # 1: nothing is padded
_HEAD_DIM_STEP = 8  # of a head: 16 bytes in half precision, the least that attention kernels ask for


def check_alignment(value: object) -> int:
    """Return `value` if it is one of `ALIGNMENTS`. Raise `BadInput` for another."""
    if type(value) is not int or value not in ALIGNMENTS:
        known = ", ".join(map(str, ALIGNMENTS))
        raise BadInput(f"an alignment must be one of {known} (1: nothing is padded), found {shown(value)}")
    return value


def round_up(size: int, multiple: int) -> int:
    """Return the smallest multiple that is at least `size`."""
    return -(-size // multiple) * multiple


def aligned_arch(arch: ArchSpec, multiple: int) -> ArchSpec:
    """Round the embedding, inner and hidden widths and the stem's mid width of a network up to the multiple.

    It always exists: rounding up keeps the order of the widths, and the largest size that a spec may have is itself a
    multiple. A plain stem (mid width 0) stays plain; classes, image and patch sizes stay as they are.
    """
    if multiple == 1:
        return arch
    stages = tuple(
        Stage(round_up(stage.width, multiple), tuple(aligned_block(block, multiple) for block in stage.blocks))
        for stage in arch.stages
    )
    return replace(arch, stages=stages, stem_mid_width=round_up(arch.stem_mid_width, multiple))


def aligned_block(block: Block, multiple: int) -> Block:
    """Round the hidden width of a block, and heads x head_dim, up to the multiple.

    Two ways to widen attention are exact: longer heads and whole heads of zeros. All that attention costs in MACs is
    proportional to heads x head_dim, so of the pairs whose product is a multiple and whose head_dim is one of 8 the
    smallest product is taken, and of equals the one with fewer heads, which has fewer rows for softmax.
    """
    found = []
    for head_dim in range(
        round_up(block.head_dim, _HEAD_DIM_STEP), round_up(block.head_dim, multiple) + 1, _HEAD_DIM_STEP
    ):
        heads = round_up(block.heads, multiple // math.gcd(multiple, head_dim))
        found.append((heads * head_dim, heads, head_dim))
    _, heads, head_dim = min(found)
    return replace(block, heads=heads, head_dim=head_dim, hidden=round_up(block.hidden, multiple))


def macs_added(arch: ArchSpec, multiple: int) -> float:
    """Return the share of the network's MACs that alignment adds: 0.1 is a tenth more (counted as `cost` does)."""
    return macs(aligned_arch(arch, multiple)) / macs(arch) - 1
