"""Limits on what a network is measured at, not on what is predicted for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.power import joules_per_image
from resnas_deploy.measuring.measurement import Measurement

Figure = Literal["p50", "p90", "p99", "throughput", "energy"]
_PERCENT: dict[str, float] = {"p50": 50, "p90": 90, "p99": 99}
_UNITS = {"throughput": "images/s", "energy": "mJ"}  # of percentiles: ms
_AT_LEAST: Figure = "throughput"


@dataclass(frozen=True)
class MeasuredLimit:
    """What a network must show when it is measured."""

    figure: Figure  # the time of a batch that so many per cent of the runs stay below, images a second, or of an image
    bound: float  # milliseconds or millijoules at most; of throughput, images a second at least

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise BadInput(f"a limit must be above 0, found {self.bound:g} for {self.figure}")

    def __str__(self) -> str:
        return f"{self.figure} of {'at least' if self.figure == _AT_LEAST else 'at most'} {self.text(self.bound)}"

    def text(self, value: float) -> str:
        """Return such a figure for people."""
        return f"{value:.3g} {_UNITS.get(self.figure, 'ms')}"

    def value(self, measurement: Measurement) -> float:
        """Return what was measured: of energy, without a meter, an infinite one. Needs samples."""
        if self.figure == "throughput":
            return measurement.throughput
        if self.figure == "energy":
            joules = joules_per_image(measurement.energy, measurement.configuration.place)
            return math.inf if joules is None else 1e3 * joules
        return measurement.percentile(_PERCENT[self.figure])

    def share(self, measurement: Measurement | None) -> float:
        """Return how much of the limit was used up: above 1 it is not kept; infinite where the network cannot run."""
        if measurement is None or not measurement.samples_s:
            return math.inf
        found = self.value(measurement)
        return self.bound / found if self.figure == _AT_LEAST else found / self.bound


def largest_share(limits: Sequence[MeasuredLimit], measurement: Measurement | None) -> float:
    """Return how much of the limit that a network comes nearest to, or exceeds most, it used up: 0 without limits."""
    return max((limit.share(measurement) for limit in limits), default=0.0)
