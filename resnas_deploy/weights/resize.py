"""Weights for another image size: every position table resized bicubically, all else as it is (paper, section 4.3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.elements import ReductionElement, StemElement, elements
from resnas_deploy.weights.checkpoint import Array, Checkpoint

_A = -0.75  # the cubic kernel's free parameter; PyTorch's bicubic interpolation has the same


def resize(checkpoint: Checkpoint, image_size: int) -> Checkpoint:
    """Return the checkpoint for square images of `image_size` pixels. Raise `BadInput` for a size that cannot be."""
    if image_size == checkpoint.arch.image_size:
        return checkpoint
    space = checkpoint.space and checkpoint.space.with_image_size(image_size)
    # Of a supernet: which mixer is the dearest is another one on another grid.
    arch = space.widest().full if space else checkpoint.arch.with_image_size(image_size)
    tensors = dict(checkpoint.tensors)
    for element in elements(arch):
        if isinstance(element, StemElement | ReductionElement):
            side = element.side if isinstance(element, StemElement) else element.out_side
            class_tokens = 1 if isinstance(element, StemElement) else 0
            name = f"{element.name}.position"
            tensors[name] = resize_positions(tensors[name], side, class_tokens)
    step = f"position tables resized bicubically from {checkpoint.arch.image_size} to {image_size} pixels"
    task = checkpoint.task and replace(
        checkpoint.task, preprocessing=checkpoint.task.preprocessing.with_image_size(image_size)
    )
    return Checkpoint(arch, tensors, checkpoint.provenance.then(step), task, space=space)


def resize_positions(table: Array, side: int, class_tokens: int) -> Array:
    """Resize `(1, class_tokens + n * n, C)` to `(1, class_tokens + side * side, C)`; class tokens' rows stay."""
    rows = table[0, class_tokens:].astype(np.float64)
    before = round(len(rows) ** 0.5)
    weights = bicubic_weights(before, side)
    grid = rows.reshape(before, before, -1)
    resized = np.einsum("yi,xj,ijc->yxc", weights, weights, grid, optimize=True).reshape(1, side * side, -1)
    return np.concatenate([table[:, :class_tokens], resized.astype(np.float32)], axis=1)


def bicubic_weights(before: int, after: int) -> NDArray[np.float64]:
    """Return the matrix `(after, before)` that resizes one axis: half-pixel centres, edges repeated, no smoothing.

    Cubic convolution, Keys 1981: at distance d from a sample its weight is (a+2)d^3 - (a+3)d^2 + 1 for d <= 1 and
    a d^3 - 5a d^2 + 8a d - 4a for 1 < d < 2.
    """
    matrix = np.zeros((after, before))
    for row in range(after):
        centre = (row + 0.5) * before / after - 0.5
        for sample in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            d = abs(centre - sample)
            near, far = (_A + 2) * d**3 - (_A + 3) * d**2 + 1, _A * (d**3 - 5 * d**2 + 8 * d - 4)
            matrix[row, min(max(sample, 0), before - 1)] += near if d <= 1 else far if d < 2 else 0.0
    return matrix
