"""Two fronts of quality against latency: what the one gains over the other.

Between two subnets of a front quality is linear in the logarithm of latency. What is compared are the latencies, or the
levels of quality, that both fronts reach.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

POINTS = 50  # at which two fronts are compared


def gained(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the mean gain at equal measured latency, and what latency is more at equal quality."""
    found = {}
    for name, sign in (("top1", 1.0), ("cross_entropy", -1.0)):
        (times, quality), (other_times, other_quality) = (_curve(rows, name, sign) for rows in (ours, theirs))
        shared = _shared(times, other_times)
        gain = np.interp(shared, times, quality) - np.interp(shared, other_times, other_quality)
        found[f"{name}_at_equal_latency"] = sign * float(gain.mean())
        best, other_best = np.maximum.accumulate(quality), np.maximum.accumulate(other_quality)
        level = _shared(best, other_best)
        needed = _needed(level, best, times) - _needed(level, other_best, other_times)
        found[f"latency_at_equal_{name}"] = float(np.exp(needed.mean()) - 1)
    return found


def _curve(rows: Sequence[dict[str, Any]], name: str, sign: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = sorted((float(np.log(row["ms"])), sign * row[name]) for row in rows)
    times, quality = np.array(points).T
    return times, quality


def _needed(level: NDArray[np.float64], best: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least logarithm of latency at which a rising curve reaches each level."""
    first = np.concatenate([[True], np.diff(best) > 0])
    return np.interp(level, best[first], times[first])


def _shared(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = max(one[0], other[0]), min(one[-1], other[-1])
    if low >= high:
        sys.exit(f"two fronts must have some of their range in common, found {one} and {other}")
    return np.linspace(low, high, POINTS)
