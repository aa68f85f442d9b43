"""The kernel, in the Triton language. Importing this imports triton; `TRITON_INTERPRET=1` must be set before that.

With x the un-normalised tokens, v the class token's linear, w the convolution's output and T the table:

    y_0 = x_0 + v + T_0
    y_p = (x_a + x_b + x_c + x_d) / 4 + w_p + T_p    of patch p, where a .. d are the four patches that it covers
    n_t = (y_t - mean(y_t)) / sqrt(var(y_t) + eps)   over channels: the next LayerNorm, without its scale and shift

where x counts as zero in the channels that it does not have, and what lies beyond the edge of an odd side is the last
row or column once more, so that the mean is over what is there. Everything is read once, summed in float32, and rounded
once; n is of y before it is rounded.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]  # triton has no types
def pooled_residual_kernel(
    x: tl.tensor,
    class_token: tl.tensor,
    patches: tl.tensor,
    table: tl.tensor,
    y: tl.tensor,
    normed: tl.tensor,
    SIDE: tl.constexpr,  # noqa: N803  # constants of the Triton language are in capitals
    WIDTH: tl.constexpr,  # noqa: N803  # as above
    OUT_WIDTH: tl.constexpr,  # noqa: N803  # as above
    BLOCK: tl.constexpr,  # noqa: N803  # as above
    WITH_NORM: tl.constexpr,  # noqa: N803  # as above
    EPS: tl.constexpr,  # noqa: N803  # as above
) -> None:
    """Compute one output token a program. Pointers to dense arrays; inputs stand before outputs."""
    HALF: tl.constexpr = (SIDE + 1) // 2  # noqa: N806  # as above
    OUT_PATCHES: tl.constexpr = HALF * HALF  # noqa: N806  # as above
    row = tl.program_id(0)
    image = (row // (1 + OUT_PATCHES)).to(tl.int64)  # offsets of large batches pass 2**31
    token = row % (1 + OUT_PATCHES)
    channel = tl.arange(0, BLOCK)
    inside = channel < OUT_WIDTH
    has_residual = channel < WIDTH
    tokens = x + image * (1 + SIDE * SIDE) * WIDTH + channel

    total = tl.load(table + token * OUT_WIDTH + channel, mask=inside, other=0.0).to(tl.float32)
    if token == 0:
        total += tl.load(class_token + image * OUT_WIDTH + channel, mask=inside, other=0.0).to(tl.float32)
        total += tl.load(tokens, mask=has_residual, other=0.0).to(tl.float32)
    else:
        patch = token - 1
        first = tokens + (1 + patch // HALF * (2 * SIDE) + patch % HALF * 2) * WIDTH
        place = (image * OUT_PATCHES + patch) * OUT_WIDTH
        total += tl.load(patches + place + channel, mask=inside, other=0.0).to(tl.float32)
        right = WIDTH
        below = SIDE * WIDTH
        if SIDE % 2:
            right = tl.where(patch % HALF == HALF - 1, 0, WIDTH)
            below = tl.where(patch // HALF == HALF - 1, 0, SIDE * WIDTH)
        four = tl.load(first, mask=has_residual, other=0.0).to(tl.float32)
        four += tl.load(first + right, mask=has_residual, other=0.0).to(tl.float32)
        four += tl.load(first + below, mask=has_residual, other=0.0).to(tl.float32)
        four += tl.load(first + below + right, mask=has_residual, other=0.0).to(tl.float32)
        total += four * 0.25

    out = (image * (1 + OUT_PATCHES) + token) * OUT_WIDTH + channel
    tl.store(y + out, total.to(y.dtype.element_ty), mask=inside)
    if WITH_NORM:
        centred = tl.where(inside, total - tl.sum(total, axis=0) / OUT_WIDTH, 0.0)
        variance = tl.sum(centred * centred, axis=0) / OUT_WIDTH
        tl.store(normed + out, (centred * tl.rsqrt(variance + EPS)).to(normed.dtype.element_ty), mask=inside)
