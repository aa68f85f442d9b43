"""What a search found, whole or without the measurements that another machine is to make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.errors import BadInput, ResnasError
from resnas_deploy.searching.costs import CostName
from resnas_deploy.searching.finalists import Finalist
from resnas_deploy.searching.iterations import EvaluatedSubnets
from resnas_deploy.searching.measured_limits import MeasuredLimit


@dataclass(frozen=True)
class SearchResult:
    """What a search found."""

    out: Path
    space: str
    evaluated: EvaluatedSubnets
    finalists: tuple[Finalist, ...]  # in the order in which they are measured, the first ones the best
    chosen: Finalist | None  # the winner; None where none was measured, or none keeps the limits
    costs: tuple[CostName, ...]
    limits: tuple[MeasuredLimit, ...]  # that finalists are measured by
    machine: str  # that they are to be measured on; empty where it is any
    unsaved: ResnasError | None = None  # why not all of it could be written, where it could not

    @property
    def measured(self) -> tuple[Finalist, ...]:
        """Return the finalists that were measured."""
        return tuple(item for item in self.finalists if item.measurement)

    @property
    def keeping(self) -> tuple[Finalist, ...]:
        """Return those that were measured within the limits."""
        return tuple(item for item in self.measured if item.keeps_limits)

    @property
    def within_limit(self) -> bool:
        """Tell whether one was."""
        return bool(self.keeping)

    def missed(self) -> BadInput | None:
        """Return what to raise where finalists were measured and none keeps the limits."""
        if not self.measured or self.keeping:
            return None
        limits = " and ".join(map(str, self.limits))
        return BadInput(
            f"one of {len(self.measured)} finalists must be measured within {limits}, found none: "
            f"{_nearest(self.measured, self.limits)}; raise the limit, profile again, or go on with more `tries` and "
            "`resume`"
        )


def _nearest(finalists: Sequence[Finalist], limits: Sequence[MeasuredLimit]) -> str:
    """Say what the one that came nearest to the limits was measured at."""
    best = min(finalists, key=lambda item: item.share)
    measurement = best.measurement
    if measurement is None or not measurement.samples_s:
        return f"none could run ({best.failure})"
    figures = best.told or ", ".join(f"{limit.figure} {limit.text(limit.value(measurement))}" for limit in limits)
    return f"the nearest, {best.artifact.folder.name}, has {figures}"
