"""What a search's report tells, from wherever it comes: the search itself, or its folder when figures come later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import CostKind


@dataclass(frozen=True)
class ReportedFinalist:
    """A finalist, as predicted and as measured."""

    candidate: Candidate
    measurement: Measurement | None = None  # None: it was not measured yet
    within: bool = True  # whether what was measured keeps every limit
    accuracy: float | None = None  # of the artifact itself, from 0 to 1, where that was evaluated

    @property
    def fingerprint(self) -> str:
        """Return the architecture's name."""
        return self.candidate.subnet.arch.fingerprint

    @property
    def measured_ms(self) -> float | None:
        """Return the median time of a batch; None where there is none."""
        found = self.measurement
        return found.percentile(50) if found and found.samples_s else None

    @property
    def four_in_five_ms(self) -> tuple[float, float] | None:
        """Return the times between which four in five runs lay; None where there is none."""
        found = self.measurement
        return (found.percentile(10), found.percentile(90)) if found and found.samples_s else None

    @property
    def measured(self) -> str:
        """Return the median in milliseconds as text, or why there is none."""
        if self.measured_ms is not None:
            return f"{self.measured_ms:.3g}"
        return "not measured yet" if self.measurement is None else self.measurement.failure or "failed"


@dataclass(frozen=True)
class ReportedSearch:
    """A search that has scored its candidates."""

    space: SearchSpace
    data: str  # that candidates were scored on
    held_out: int  # images of it
    costs: Sequence[CostKind]  # in the order of the candidates'
    limits: Mapping[str, float]  # the most of a cost, by its name
    candidates: Sequence[Candidate]
    finalists: Sequence[ReportedFinalist]
    winner: int  # its place in `finalists`
