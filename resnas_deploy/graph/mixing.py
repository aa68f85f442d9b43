"""Emits what a mixer moves: tokens into windows and back, and the means of cells of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.mixer import Group, Mixer, Region
from resnas_deploy.graph.nodes import TO_THE_END, GraphBuilder

AVERAGED = (".averaged_class", ".averaged_patches")  # how the nodes end that cut out what is averaged over views
_HIDDEN = -1e4  # what a score is lowered by: its weight is 0 in every precision, and the number in all of them


def pooled_by_views(graph: GraphBuilder, x: str, name: str, side: int, size: int, width: int) -> str:
    """Replace the patch tokens of `(B, 1 + N, C)` by the means of cells of `size` x `size`, cut at the edges.

    The means are of rows, then of columns, each over a view of the tokens; a cut grid's are an AveragePool.
    """
    of_class, of_patches = (f"{name}{end}" for end in AVERAGED)
    class_token, x, cells = graph.class_token(x, of_class), graph.patches(x, of_patches), _cells(side, size)
    if side % size == 0:
        x = graph.node("Reshape", [x, graph.ints(0, cells, size, side * width)], f"{name}.pooled_rows")
        x = graph.node("ReduceMean", [x, graph.ints(2)], f"{name}.row_means", keepdims=0)
        x = graph.node("Reshape", [x, graph.ints(0, cells**2, size, width)], f"{name}.pooled_columns")
        x = graph.node("ReduceMean", [x, graph.ints(2)], f"{name}.means", keepdims=1)
    else:
        x = graph.node("Reshape", [x, graph.ints(0, side, side, width)], f"{name}.pooled_grid")
        x = graph.node("Transpose", [x], f"{name}.pooled_channels_first", perm=[0, 3, 1, 2])
        x = graph.node("AveragePool", [x], f"{name}.cells", kernel_shape=[size] * 2, strides=[size] * 2, ceil_mode=1)
        x = graph.node("Transpose", [x], f"{name}.means", perm=[0, 2, 3, 1])
        x = graph.node("Reshape", [x, graph.ints(0, cells**2, 1, width)], f"{name}.means_flat")
    # In four dimensions: what is joined in three and quantised right after it OpenVINO quantises before it, wrongly.
    class_token = graph.node("Reshape", [class_token, graph.ints(0, 1, 1, width)], f"{of_class}.view")
    x = graph.node("Concat", [class_token, x], f"{name}.pooled.joined", axis=1)
    return graph.node("Reshape", [x, graph.ints(0, 1 + cells**2, width)], f"{name}.pooled")


def pooled_by_slices(graph: GraphBuilder, x: str, name: str, side: int, size: int, width: int) -> str:
    """Emit the same as a mean of slices of the grid, which a compiler writes in the kernel of the norm before it.

    A cut grid is filled up with zeros, and each cell's mean multiplied by what it is short of.
    """
    class_token, x = graph.class_token(x, f"{name}.pooled_class"), graph.patches(x, f"{name}.pooled_patches")
    cells = _cells(side, size)
    x = graph.node("Reshape", [x, graph.ints(0, side, side, width)], f"{name}.pooled_grid")
    if missing := cells * size - side:
        x = graph.node("Pad", [x, graph.ints(0, 0, 0, 0, 0, missing, missing, 0)], f"{name}.pooled_padded")
    ends, axes, steps = graph.ints(TO_THE_END, TO_THE_END), graph.ints(1, 2), graph.ints(size, size)
    slices = [
        graph.node("Slice", [x, graph.ints(*begin), ends, axes, steps], f"{name}.slice{begin[0]}_{begin[1]}")
        for begin in product(range(size), repeat=2)
    ]
    x = graph.node("Mean", slices, f"{name}.means")
    if missing:
        whole = graph.weight(
            f"pooled{size}.of{side}.whole", (cells, cells, 1), lambda: _short_of(side, size)[..., None]
        )
        x = graph.node("Mul", [x, whole], f"{name}.means_of_there")
    x = graph.node("Reshape", [x, graph.ints(0, cells**2, width)], f"{name}.means_flat")
    return graph.node("Concat", [class_token, x], f"{name}.pooled", axis=1)


def _cells(side: int, size: int) -> int:
    return -(-side // size)


def _short_of(side: int, size: int) -> NDArray[np.float32]:
    """Return the tokens of a whole cell over those of each, `(cells, cells)`."""
    there = np.minimum(size, side - size * np.arange(_cells(side, size)))
    return (size**2 / np.outer(there, there)).astype(np.float32)


@dataclass(frozen=True)
class Windows:
    """The tokens of a grid in the order of windows.

    Group by group, window by window: a copy of the class token, then the window's patch tokens by row. What a linear
    wrote in that order, attention reads without another move. It takes S tokens for the grid's T.
    """

    mixer: Mixer
    side: int

    @property
    def groups(self) -> tuple[Group, ...]:
        """The batches of windows, in their order."""
        return self.mixer.groups(self.side)

    @property
    def tokens(self) -> int:
        """Count them all: S."""
        return sum(group.length for group in self.groups)

    def order(self) -> NDArray[np.int64]:
        """Return which token of the grid each is, `(S,)`; 0 is the class token."""
        return np.concatenate([numbers.reshape(-1) for numbers in self._numbers()])

    def ordered(self, graph: GraphBuilder, x: str, name: str, axis: int) -> str:
        """Emit the T tokens along an axis as the S in that order."""
        order = graph.indices(f"{self._name}.order", self.order())
        return graph.node("Gather", [x, order], f"{name}.windows", axis=axis)

    def split(self, graph: GraphBuilder, x: str, name: str, axis: int) -> list[str]:
        """Emit each group's part of the S tokens along an axis."""
        lengths = [group.length for group in self.groups]
        if len(lengths) == 1:
            return [x]
        return graph.split(x, f"{name}.groups", [f"windows{i}" for i, _ in enumerate(lengths, 1)], axis, lengths)

    def joined(self, graph: GraphBuilder, class_token: str, groups: Sequence[str], name: str, axis: int) -> str:
        """Emit the grid's T tokens of the class token and each group's part; copies of the class token are left out."""
        order = self.order()
        places = 1 + np.flatnonzero(order)
        back = np.concatenate([[0], places[np.argsort(order[order > 0])]])
        x = graph.node("Concat", [class_token, *groups], f"{name}.joined", axis=axis)
        return graph.node("Gather", [x, graph.indices(f"{self._name}.back", back)], f"{name}.grid", axis=axis)

    def hiding_copies(self, graph: GraphBuilder) -> str:
        """Emit what is added to the scores of one who attends to all S, `(1, S)`: of the class tokens one is seen."""
        copies = (self.order() == 0) & (np.arange(self.tokens) > 0)
        hidden = np.where(copies, np.float32(_HIDDEN), np.float32(0))[None]
        return graph.weight(f"{self._name}.copies", hidden.shape, lambda: hidden)

    @property
    def _name(self) -> str:
        return f"{self.mixer}.of{self.side}"

    def _numbers(self) -> list[NDArray[np.int64]]:
        """Return which token of the grid each is, `(windows, tokens)` of each group."""
        grid = 1 + np.arange(self.side**2).reshape(self.side, self.side)
        groups: dict[int, list[NDArray[np.int64]]] = {}
        for region in self.mixer.regions(self.side):
            groups.setdefault(region.window_tokens, []).append(_by_window(grid, region))
        return [np.pad(np.concatenate(windows), ((0, 0), (1, 0))) for windows in groups.values()]


def _by_window(grid: NDArray[np.int64], region: Region) -> NDArray[np.int64]:
    """Return a region's numbers of a grid `(side, side)`, `(windows, window tokens)`."""
    height, width = region.window_height, region.window_width
    own = grid[region.top : region.top + region.height, region.left : region.left + region.width]
    own = own.reshape(-1, height, region.width // width, width).transpose(0, 2, 1, 3)
    return own.reshape(region.windows, region.window_tokens)
