"""Limits on what a network is measured at, not on what is predicted for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.measurement import Measurement

Figure = Literal["p50", "p90", "p99", "throughput"]
_PERCENT: dict[Figure, float] = {"p50": 50, "p90": 90, "p99": 99}


@dataclass(frozen=True)
class MeasuredLimit:
    """What a network must show when it is measured."""

    figure: Figure  # the time of a batch that so many per cent of the runs stay below, or images a second
    bound: float  # milliseconds at most; of throughput, images a second at least

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise BadInput(f"a limit must be above 0, found {self.bound:g} for {self.figure}")

    def __str__(self) -> str:
        return f"{self.figure} of {'at most' if self.figure in _PERCENT else 'at least'} {self.text(self.bound)}"

    def text(self, value: float) -> str:
        """Return such a figure for people."""
        return f"{value:.3g} {'ms' if self.figure in _PERCENT else 'images/s'}"

    def value(self, measurement: Measurement) -> float:
        """Return what was measured. Needs samples."""
        percent = _PERCENT.get(self.figure)
        return measurement.throughput if percent is None else measurement.percentile(percent)

    def share(self, measurement: Measurement | None) -> float:
        """Return how much of the limit was used up: above 1 it is not kept; infinite where the network cannot run."""
        if measurement is None or not measurement.samples_s:
            return math.inf
        found = self.value(measurement)
        return found / self.bound if self.figure in _PERCENT else self.bound / found


def largest_share(limits: Sequence[MeasuredLimit], measurement: Measurement | None) -> float:
    """Return how much of the limit that a network comes nearest to, or exceeds most, it used up: 0 without limits."""
    return max((limit.share(measurement) for limit in limits), default=0.0)
