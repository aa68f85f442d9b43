"""Token mixers: which tokens each token of a block attends to. All of them have the same weights.

- `global`: every token attends to all.
- `windowN`: a patch token attends to the N x N patch tokens of its window and to the class token; the class token
  attends to all (after Liu et al., arXiv 2103.14030). Windows begin at the upper left; where N does not divide the
  grid's side, those at the right and lower edge are cut.
- `pooledN`: every token attends to the class token and to the means of cells of N x N patch tokens (after Wang et al.,
  arXiv 2106.13797): keys and values are linears of means of normed tokens. Cells are cut as windows are; a mean is over
  the tokens that are there.

A window that covers the grid, and a pool of 1, are `global` exactly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from resnas_deploy.errors import BadInput, shown

GLOBAL, WINDOW, POOLED = "global", "window", "pooled"  # kinds
_NAME = re.compile(rf"({WINDOW}|{POOLED})([1-9][0-9]{{0,3}})")


@dataclass(frozen=True)
class Region:
    """A rectangle of the grid that windows of one size fill; all numbers are patch tokens."""

    top: int
    left: int
    height: int
    width: int
    window_height: int
    window_width: int

    @property
    def windows(self) -> int:
        """How many windows fill it."""
        return (self.height // self.window_height) * (self.width // self.window_width)

    @property
    def window_tokens(self) -> int:
        """Patch tokens of each of its windows."""
        return self.window_height * self.window_width


@dataclass(frozen=True)
class Group:
    """Windows of one number of tokens, which a graph attends in as a batch."""

    windows: int
    tokens: int  # of each, with the class token

    @property
    def length(self) -> int:
        """Count the tokens of all of them."""
        return self.windows * self.tokens


@dataclass(frozen=True)
class Mixer:
    """A token mixer on any grid, or one that `at` has resolved for a grid."""

    kind: str = GLOBAL
    size: int = 0  # patch tokens a side of a window, or of a cell whose mean is taken; 0 of `global`

    def __str__(self) -> str:
        """Return the name by which files and specs have it."""
        return f"{self.kind}{self.size or ''}"

    def at(self, side: int) -> Mixer:
        """Return what it is on a grid of `side` x `side` patch tokens: `global`, where it is no different from that.

        A cell is no larger than the grid.
        """
        if self.kind == POOLED:
            size = min(self.size, side)
            return Mixer() if size == 1 else Mixer(POOLED, size)
        return Mixer() if self.size >= side else self

    def sources(self, side: int) -> int:
        """Count the tokens that keys and values are made of, the class token with them."""
        return (_ceiling(side, self.size) if self.kind == POOLED else side) ** 2 + 1

    def pairs(self, side: int) -> int:
        """Count the pairs of a query and a key that it looks at: the scores of one head."""
        if self.kind != WINDOW:
            return (side**2 + 1) * self.sources(side)
        of_windows = sum(r.windows * r.window_tokens * (r.window_tokens + 1) for r in self.regions(side))
        return of_windows + side**2 + 1  # the class token's row

    def macs(self, side: int, width: int, inner: int) -> int:
        """Count the MACs of a block that depend on its mixer: keys, values, and the two products of attention."""
        return 2 * self.sources(side) * width * inner + 2 * self.pairs(side) * inner

    def regions(self, side: int) -> tuple[Region, ...]:
        """Return the rectangles that a window's grid falls into: one where it divides the side, else up to four."""
        size, whole = self.size, side // self.size * self.size
        spans = [(begin, length) for begin, length in ((0, whole), (whole, side - whole)) if length]
        return tuple(
            Region(top, left, height, width, min(size, height), min(size, width))
            for top, height in spans
            for left, width in spans
        )

    def groups(self, side: int) -> tuple[Group, ...]:
        """Return a window's regions by the tokens of their windows: the lower and the right edge have as many."""
        counts: dict[int, int] = {}
        for region in self.regions(side):
            counts[region.window_tokens] = counts.get(region.window_tokens, 0) + region.windows
        return tuple(Group(windows, tokens + 1) for tokens, windows in counts.items())


def mixer_named(name: object, field: str = "a mixer") -> Mixer:
    """Return the mixer of that name. Raise `BadInput`, which names `field`, for no mixer's name."""
    found = _named(name) if isinstance(name, str) else None
    if found is None:
        raise BadInput(
            f"{field} must be {GLOBAL}, {WINDOW}N or {POOLED}N, N patch tokens a side, as window7, found {shown(name)}"
        )
    return found


@cache
def _named(name: str) -> Mixer | None:
    match = _NAME.fullmatch(name)
    return Mixer(match[1], int(match[2])) if match else Mixer() if name == GLOBAL else None


def _ceiling(side: int, size: int) -> int:
    return -(-side // size)
