"""The finalists of a search: what is known of each, and which one wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.found import ExportedAccuracy, Found
from resnas_deploy.searching.measured import Measured
from resnas_deploy.searching.measured_limits import largest_share, told
from resnas_deploy.weights.checkpoint import Checkpoint


@dataclass(frozen=True)
class Finalist:
    """A candidate as an artifact, and as it really runs."""

    candidate: Candidate
    artifact: Artifact
    measurement: Measurement | None  # None: it was not measured, or not yet
    exported: ExportedAccuracy | None  # of the artifact itself, where it is quantised
    share: float  # of the limits that are measured: above 1 it keeps them not, and infinite where it was not measured
    told: str = ""  # what limits are of, as measured, where that is not the median alone

    @property
    def checkpoint(self) -> Checkpoint:
        """Read its weights, float32, sliced out of the supernet's."""
        return self.artifact.checkpoint()

    @property
    def measured_ms(self) -> float | None:
        """Return the median time of a batch; None where it did not run."""
        return self.measurement.percentile(50) if self.measurement and self.measurement.samples_s else None

    @property
    def failure(self) -> str:
        """Return why there are no figures; empty where there are."""
        if self.measurement is None:
            return "not measured"
        return self.measurement.failure or ""

    @property
    def keeps_limits(self) -> bool:
        """Tell whether it was measured within the limits that are measured; without any it does."""
        return self.share <= 1

    @property
    def accuracy(self) -> float:
        """Return top-1 on the images that candidates are scored on, from 0 to 1, in the artifact's own precision."""
        return self.exported.top1 if self.exported else self.candidate.score.accuracy

    @property
    def rank(self) -> tuple[float, tuple[bool, int, float, tuple[float, ...]]]:
        """Return what is larger for a better one."""
        return (self.accuracy, self.candidate.rank)


def finalists_of(folder: Path, found: Found, measured: Measured | None) -> tuple[Finalist, ...]:
    """Return the finalists in a search's folder with their figures. Raise `BadInput` where an artifact is not whole."""
    finalists = []
    for item in found.finalists:
        measurement = measured.of(item) if measured else None
        share = measured.share(found, item) if measured else largest_share(found.limits, None)
        words = told(found.limits, measurement, measured.pace(found, item)) if measured and measurement else ""
        finalists.append(Finalist(item.candidate, item.opened(folder), measurement, item.accuracy, share, words))
    return tuple(finalists)


def winner(finalists: Sequence[Finalist]) -> Finalist | None:
    """Return the most accurate of those that were measured and keep the limits, if there is one."""
    keeping = [item for item in finalists if item.measurement and item.keeps_limits]
    return max(keeping, key=lambda item: item.rank, default=None)
