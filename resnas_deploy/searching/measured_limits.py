"""Limits on what a network is measured at, not on what is predicted for it.

A limit is of the pace that the machine had when it was profiled. Where the anchor network, which the profile was
measured beside, takes longer beside the finalists than it did then, the machine is slower now, for any network: what
was measured is divided by that (`pace_of`). A machine that is faster now is no reason to refuse what it was measured
at; and one that is slower by more than `MOST_SLOWER` is no longer the one that was profiled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.bounds import RUNS, percent
from resnas_deploy.measuring.latency.power import joules_per_image
from resnas_deploy.measuring.measurement import Measurement

Figure = Literal["p50", "p90", "p99", "throughput", "energy"]
MOST_SLOWER = 1.25
_TOLD = 1.05  # a pace that is worth telling
_UNITS: dict[Figure, str] = {"throughput": "images/s", "energy": "mJ"}


@dataclass(frozen=True)
class MeasuredLimit:
    """What a network must show when it is measured."""

    figure: Figure  # the time of a batch that so many per cent of the runs stay below, images a second, or of an image
    bound: float  # milliseconds or millijoules at most; of throughput, images a second at least

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise BadInput(f"a limit must be above 0, found {self.bound:g} for {self.figure}")

    def __str__(self) -> str:
        return f"{self.figure} of {'at least' if self._is_least else 'at most'} {self.text(self.bound)}"

    def text(self, value: float) -> str:
        """Return such a figure for people."""
        return f"{value:.3g} {_UNITS.get(self.figure, 'ms')}" if math.isfinite(value) else "unknown"

    @property
    def runs(self) -> int:
        """Return how many runs tell the figure."""
        return RUNS.get(self.figure, 1)

    def value(self, measurement: Measurement, pace: float = 1.0) -> float:
        """Return what was measured, at the pace of the profile. Needs samples. What no meter counted is infinite."""
        if self.figure == "throughput":
            return measurement.throughput * pace
        if self.figure == "energy":
            spent = joules_per_image(measurement.energy, measurement.configuration.place)
            return math.inf if spent is None else 1e3 * spent
        return measurement.percentile(percent(self.figure)) / pace

    def share(self, measurement: Measurement | None, pace: float = 1.0) -> float:
        """Return how much of the limit was used up: above 1 it is not kept; infinite where the network cannot run."""
        if measurement is None or not measurement.samples_s:
            return math.inf
        found = self.value(measurement, pace)
        return self.bound / found if self._is_least else found / self.bound

    @property
    def _is_least(self) -> bool:
        return self.figure == "throughput"


def pace_of(anchor: Measurement, profiled_ms: float) -> float:
    """Return how many times as long as in its profile the machine takes, from the anchor network: 1 if not slower."""
    slower = anchor.percentile(50) / profiled_ms
    return slower if 1 < slower <= MOST_SLOWER else 1.0


def told(limits: Sequence[MeasuredLimit], measurement: Measurement, pace: float) -> str:
    """Return, for people, what limits are of beside the median, and what was measured at the profile's pace."""
    shown = [limit for limit in limits if limit.figure != "p50" or pace > _TOLD]
    slower = f" at the profile's pace (now {pace:.2f} times slower)" if pace > _TOLD else ""
    if not measurement.samples_s:
        return ""
    figures = [f"{limit.figure} {limit.text(limit.value(measurement, pace))}" for limit in shown]
    return ", ".join(figures) + slower if figures else ""


def largest_share(limits: Sequence[MeasuredLimit], measurement: Measurement | None, pace: float = 1.0) -> float:
    """Return how much of the limit that a network comes nearest to, or exceeds most, it used up: 0 without limits."""
    return max((limit.share(measurement, pace) for limit in limits), default=0.0)
