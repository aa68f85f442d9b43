"""Intervals of ratios by the bootstrap.

Samples come in groups, the rounds between two openings of a runtime. Where a runtime puts its memory makes it a little
faster or slower for as long as it is open, so many samples of one opening tell less than they seem to. It is therefore
openings that are drawn, whole, and the interval is widened as few openings need it.

Sources: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8, for samples in groups;
Hesterberg, What Teachers Should Know about the Bootstrap (2015), section 5.3, for the widening.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
_AT_ONCE = 4_000_000  # values of draws in memory
CONFIDENCE = 0.95
LEAST_OPENINGS = 2  # for an interval that tells anything of other openings
Groups = Sequence[Sequence[float]]  # samples, one sequence an opening


@dataclass(frozen=True)
class Interval:
    """An estimate, and the bounds between which the true value lies with the probability `CONFIDENCE`."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """How far the bounds are from the value on a logarithmic scale: 0.02 is about 2 per cent either way."""
        return max(math.log(self.high / self.value), math.log(self.value / self.low))

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __truediv__(self, other: Interval) -> Interval:
        """Return the ratio of two estimates that know nothing of each other."""
        value, width = self.value / other.value, math.hypot(self.half_width, other.half_width)
        return Interval(value, value * math.exp(-width), value * math.exp(width))


def ratio_interval(ours: Groups, theirs: Groups, rng: np.random.Generator) -> Interval:
    """Return the ratio of ours to theirs, sample by sample: both must be of the same rounds of the same openings.

    It is the median over openings of the median over rounds: one opening that something disturbed does not move it.
    Of a single opening the rounds are drawn: the interval then tells nothing of other openings.
    """
    logs = [np.log(np.asarray(a) / np.asarray(b)) for a, b in zip(ours, theirs, strict=True) if len(a)]
    if not logs:
        raise ValueError("a ratio needs samples")
    medians = np.array([np.median(group) for group in logs])
    value, openings = float(np.median(medians)), len(logs)
    drawn_from = logs[0] if openings == 1 else medians
    rows = max(1, _AT_ONCE // len(drawn_from))  # all draws of many samples together would take gigabytes
    parts = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    drawn = np.concatenate([np.median(rng.choice(drawn_from, (count, len(drawn_from))), axis=1) for count in parts])
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    widening = _widening(openings)
    low, high = value - widening * max(0.0, value - low), value + widening * max(0.0, high - value)
    return Interval(math.exp(value), math.exp(low), math.exp(high))


def _widening(openings: int) -> float:
    """Return by what percentiles of so few openings are too narrow: Student's quantile, and the bootstrap's bias."""
    from scipy.special import ndtri, stdtrit  # of `scipy.stats`, without the half a second that its import takes

    if openings == 1:
        return 1.0
    upper = (1 + CONFIDENCE) / 2
    return float(stdtrit(openings - 1, upper) / ndtri(upper)) * math.sqrt(openings / (openings - 1))
