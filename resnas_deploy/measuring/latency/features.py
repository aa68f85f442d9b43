"""What a network's latency is made of, as numbers: the terms of the regression.

For each stage: how many blocks there are (the cost of starting kernels, norms and sums), the weights of its linears
(the work of matrix products, and the bytes that a batch must read), and the channels that attention works on. The
network's last block, of which only the class token is read, has terms of its own. Then the stem, each reduction and a
constant, the head's part included. Which other terms were tried, and the error of each: docs/latency.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.spec import ArchSpec, Block


def names(stages: int) -> tuple[str, ...]:
    """Return what the terms of networks of so many stages are called."""
    return (
        "constant",
        *(f"stage{stage} {term}" for stage in range(1, stages + 1) for term in ("blocks", "linears", "attention")),
        "last block's linears",
        "stem",
        *(f"reduction{stage}" for stage in range(1, stages)),
    )


def features(archs: Iterable[ArchSpec]) -> NDArray[np.float64]:
    """Return the terms of each network, `(networks, terms)`, of networks of the same number of stages: none negative.

    `names` says what they are called.
    """
    return np.array([_of(arch) for arch in archs], dtype=np.float64)


def _of(arch: ArchSpec) -> list[float]:
    *others, final = arch.stages
    last = final.blocks[-1]
    terms: list[float] = [1]
    for width, blocks in (*((stage.width, stage.blocks) for stage in others), (final.width, final.blocks[:-1])):
        terms += [len(blocks), _linears(width, blocks), sum(block.inner for block in blocks)]
    terms += [_linears(final.width, [last]), arch.stages[0].width]
    return terms + [before.width * after.width for before, after in zip(arch.stages, arch.stages[1:], strict=False)]


def _linears(width: int, blocks: Sequence[Block]) -> int:
    """Count the weights of the blocks' linears."""
    return width * sum(4 * block.inner + 2 * block.hidden for block in blocks)
