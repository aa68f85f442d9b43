"""Two fronts of quality against latency: what the one gains over the other.

Between two subnets of a front quality is linear in the logarithm of latency; above its slowest it is that one's, for
who has more time can take it all the same. Latencies are compared from the first that both fronts have a subnet within,
to the slowest of either; levels of quality are those that both reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUALITIES = (("top1", 1.0), ("cross_entropy", -1.0))  # and which way is better
NAMES = tuple(text for name, _ in QUALITIES for text in (f"{name}_at_equal_latency", f"latency_at_equal_{name}"))
POINTS = 50  # at which two fronts are compared


def gained(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the mean gain at equal measured latency, and what latency is more at a quality that both reach, if any."""
    found = {}
    for name, sign in QUALITIES:
        (times, quality), (other_times, other_quality) = (_curve(rows, name, sign) for rows in (ours, theirs))
        shared = np.linspace(max(times[0], other_times[0]), max(times[-1], other_times[-1]), POINTS)
        gain = np.interp(shared, times, quality) - np.interp(shared, other_times, other_quality)
        found[f"{name}_at_equal_latency"] = sign * float(gain.mean())
        best, other_best = np.maximum.accumulate(quality), np.maximum.accumulate(other_quality)
        low, high = max(best[0], other_best[0]), min(best[-1], other_best[-1])
        if low <= high:
            level = np.linspace(low, high, POINTS)
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
