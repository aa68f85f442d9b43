"""What a network's latency is made of, as numbers: the terms of the regression.

For each stage: how many blocks there are (the cost of starting kernels, norms and sums), the weights of its linears
(the work of matrix products, and the bytes that a batch must read), and the channels that attention works on. The
network's last block, of which only the class token is read, has terms of its own. Then the stem, each reduction and a
constant, the head's part included. Which other terms were tried, and the error of each: docs/latency.md.

Where heads have several sizes their number counts as well, since each has a softmax of its own; where the stem has
several widths, so do the weights of its convolutions. In other spaces these terms would say what others say already.

Attention's channels count by the pairs of tokens that the block's mixer looks at, and the linears of keys and values by
the tokens that these are made of, each as a share of what `global` has: where all are global, nothing changes. A stage
that chooses among kinds of mixers has the number of its blocks with windows and their channels as well, which are moved
to the windows and back, and so with those whose keys and values are pooled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.mixer import GLOBAL, Mixer, mixer_named
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Block


@dataclass(frozen=True)
class Terms:
    """The terms of the networks of one space."""

    stages: int
    sized: tuple[int, ...] = ()  # the stages whose heads have several sizes, counted from 1
    stems: bool = False  # whether the stem has several widths
    mixed: tuple[tuple[int, str], ...] = ()  # of stages that choose among kinds of mixers: each beside `global`

    @staticmethod
    def of_space(space: SearchSpace) -> Terms:
        """Return the terms that a space's choices ask for."""
        sized = tuple(number for number, stage in enumerate(space.stages, start=1) if len(stage.head_dims) > 1)
        mixers = [{mixer_named(m).at(space.side(number)) for m in s.mixers} for number, s in enumerate(space.stages)]
        return Terms(len(space.stages), sized, len(space.stem_mid_widths) > 1, _mixed(mixers))

    @staticmethod
    def among(archs: Sequence[ArchSpec]) -> Terms:
        """Return the terms in which networks of one space differ: of enough of them, those of the space."""
        stages = list(zip(*(arch.stages for arch in archs), strict=True))
        sizes = [{block.head_dim for stage in column for block in stage.blocks} for column in stages]
        sized = tuple(number for number, own in enumerate(sizes, start=1) if len(own) > 1)
        mixers = [
            {block.mixer_at(arch.side(number)) for arch in archs for block in arch.stages[number].blocks}
            for number in range(len(stages))
        ]
        return Terms(len(stages), sized, len({arch.stem_mid_width for arch in archs}) > 1, _mixed(mixers))

    @property
    def names(self) -> tuple[str, ...]:
        """Return what they are called."""
        return (
            "constant",
            *(f"stage{stage} {term}" for stage in self._numbers for term in ("blocks", "linears", "attention")),
            "last block's linears",
            "stem",
            *(f"reduction{stage}" for stage in self._numbers[:-1]),
            *(f"stage{stage} heads" for stage in self.sized),
            *(f"stage{stage} {kind} {term}" for stage, kind in self.mixed for term in ("blocks", "channels")),
            *(("stem's convolutions",) if self.stems else ()),
        )

    def of(self, archs: Iterable[ArchSpec]) -> NDArray[np.float64]:
        """Return the terms of each network, `(networks, terms)`: none negative."""
        return np.array([self._row(arch) for arch in archs], dtype=np.float64)

    @property
    def _numbers(self) -> range:
        return range(1, self.stages + 1)

    def _row(self, arch: ArchSpec) -> list[float]:
        *others, final = arch.stages
        last, mid = final.blocks[-1], arch.stem_mid_width
        stages = [(stage.width, stage.blocks) for stage in others] + [(final.width, final.blocks[:-1])]
        row: list[float] = [1]
        for number, (width, blocks) in enumerate(stages):
            side = arch.side(number)
            attention = sum(block.inner * _share(block.mixer, side).pairs for block in blocks)
            row += [len(blocks), _linears(width, blocks, side), attention]
        row += [_linears(final.width, [last], arch.last_side), arch.stages[0].width * (mid if self.stems else 1)]
        row += [before.width * after.width for before, after in zip(arch.stages, arch.stages[1:], strict=False)]
        row += [sum(block.heads for block in stages[number - 1][1]) for number in self.sized]
        for number, kind in self.mixed:
            own = [block for block in stages[number - 1][1] if _share(block.mixer, arch.side(number - 1)).kind == kind]
            row += [len(own), sum(block.inner for block in own)]
        return [*row, mid * (3 + mid + mid)] if self.stems else row


def _mixed(stages: Sequence[set[Mixer]]) -> tuple[tuple[int, str], ...]:
    """Return the kinds of mixers, `global` apart, of the stages that have several kinds, counted from 1.

    Windows of several sizes alone are told apart by the work that they do: every block has one.
    """
    kinds = [{mixer.kind for mixer in own} for own in stages]
    return tuple(
        (number, kind) for number, own in enumerate(kinds, start=1) if len(own) > 1 for kind in sorted(own - {GLOBAL})
    )


@dataclass(frozen=True)
class _Share:
    """What a mixer does on a grid, as shares of what `global` does there."""

    kind: str
    pairs: float  # of a query and a key
    sources: float  # tokens that keys and values are made of


@lru_cache
def _share(name: str, side: int) -> _Share:
    mixer, tokens = mixer_named(name).at(side), side**2 + 1
    return _Share(mixer.kind, mixer.pairs(side) / tokens**2, mixer.sources(side) / tokens)


def _linears(width: int, blocks: Sequence[Block], side: int) -> float:
    """Count the weights of the blocks' linears, those of keys and values by what they are made of."""
    return width * sum(
        2 * block.inner + 2 * block.inner * _share(block.mixer, side).sources + 2 * block.hidden for block in blocks
    )
