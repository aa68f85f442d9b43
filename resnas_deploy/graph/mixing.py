"""Emits what a mixer moves: patch tokens into windows and back, and the means of cells of the grid."""

from __future__ import annotations

from collections.abc import Sequence

from resnas_deploy.arch.mixer import Region
from resnas_deploy.graph.nodes import GraphBuilder


def pooled_tokens(graph: GraphBuilder, x: str, name: str, side: int, size: int, width: int) -> str:
    """Replace the patch tokens of `(B, 1 + N, C)` by the means of cells of `size` x `size`, cut at the edges."""
    class_token = graph.class_token(x, f"{name}.pooled_class")
    cells = -(-side // size)
    x = graph.patches(x, f"{name}.pooled_patches")
    if side % size == 0:  # the mean of rows, then of columns, each over a view
        x = graph.node("Reshape", [x, graph.ints(0, cells, size, side * width)], f"{name}.pooled_rows")
        x = graph.node("ReduceMean", [x, graph.ints(2)], f"{name}.row_means", keepdims=0)
        x = graph.node("Reshape", [x, graph.ints(0, cells**2, size, width)], f"{name}.pooled_columns")
        x = graph.node("ReduceMean", [x, graph.ints(2)], f"{name}.means", keepdims=0)
    else:
        x = graph.node("Reshape", [x, graph.ints(0, side, side, width)], f"{name}.pooled_grid")
        x = graph.node("Transpose", [x], f"{name}.pooled_channels_first", perm=[0, 3, 1, 2])
        x = graph.node("AveragePool", [x], f"{name}.cells", kernel_shape=[size] * 2, strides=[size] * 2, ceil_mode=1)
        x = graph.node("Reshape", [x, graph.ints(0, width, cells**2)], f"{name}.cells_flat")
        x = graph.node("Transpose", [x], f"{name}.means", perm=[0, 2, 1])
    return graph.node("Concat", [class_token, x], f"{name}.pooled", axis=1)


def cut_windows(
    graph: GraphBuilder, x: str, name: str, side: int, region: Region, before: Sequence[int], width: int
) -> str:
    """Move the tokens of a region's windows together.

    `x` is `(B, *before, 1 + N, width)`; returns `(B, *before, windows, window tokens, width)`.
    """
    axis = 1 + len(before)
    x = graph.node("Slice", [x, graph.ints(1), graph.ints(1 + side**2), graph.ints(axis)], f"{name}.patches")
    if (region.height, region.width) != (side, side):
        x = graph.node("Reshape", [x, graph.ints(-1, *before, side, side, width)], f"{name}.grid")
        ends = graph.ints(region.top + region.height, region.left + region.width)
        x = graph.node(
            "Slice", [x, graph.ints(region.top, region.left), ends, graph.ints(axis, axis + 1)], f"{name}.region"
        )
    rows, columns = region.height // region.window_height, region.width // region.window_width
    across = region.window_width * width
    x = graph.node("Reshape", [x, graph.ints(-1, *before, rows, region.window_height, columns, across)], f"{name}.rows")
    x = graph.node("Transpose", [x], f"{name}.moved", perm=[*range(axis), axis, axis + 2, axis + 1, axis + 3])
    return graph.node(
        "Reshape", [x, graph.ints(-1, *before, region.windows, region.window_tokens, width)], f"{name}.windows"
    )


def with_class_token(
    graph: GraphBuilder, windows: str, x: str, name: str, region: Region, before: Sequence[int], width: int
) -> str:
    """Put the class token of `x`, `(B, *before, 1 + N, width)`, before the tokens of each window."""
    axis = 1 + len(before)
    token = graph.node("Slice", [x, graph.ints(0), graph.ints(1), graph.ints(axis)], f"{name}.class_token")
    token = graph.node("Reshape", [token, graph.ints(-1, *before, 1, 1, width)], f"{name}.class_token.view")
    shape = [1] * (len(before) + 4)
    shape[axis] = region.windows
    token = graph.node("Expand", [token, graph.ints(*shape)], f"{name}.class_tokens")
    return graph.node("Concat", [token, windows], f"{name}.with_class_token", axis=axis + 1)


def joined_windows(
    graph: GraphBuilder, parts: Sequence[tuple[Region, str]], name: str, side: int, before: Sequence[int], width: int
) -> str:
    """Move what `cut_windows` made of all regions back into `(B, *before, N, width)`."""
    axis, rows_of = 1 + len(before), dict[int, list[str]]()
    for region, x in parts:
        own = f"{name}.{region.top}_{region.left}"
        rows, columns = region.height // region.window_height, region.width // region.window_width
        across = region.window_width * width
        x = graph.node(
            "Reshape", [x, graph.ints(-1, *before, rows, columns, region.window_height, across)], f"{own}.rows"
        )
        x = graph.node("Transpose", [x], f"{own}.moved", perm=[*range(axis), axis, axis + 2, axis + 1, axis + 3])
        x = graph.node("Reshape", [x, graph.ints(-1, *before, region.height, region.width, width)], f"{own}.grid")
        rows_of.setdefault(region.top, []).append(x)
    strips = [
        graph.node("Concat", strip, f"{name}.{top}.strip", axis=axis + 1) if len(strip) > 1 else strip[0]
        for top, strip in rows_of.items()
    ]
    grid = graph.node("Concat", strips, f"{name}.grid", axis=axis) if len(strips) > 1 else strips[0]
    return graph.node("Reshape", [grid, graph.ints(-1, *before, side**2, width)], f"{name}.patches")
