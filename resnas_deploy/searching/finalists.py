"""The finalists of a search: exported, verified and measured for real."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.batch import BatchRange
from resnas_deploy.exporting.export import Request, export
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.measure import measure
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.report import Report
from resnas_deploy.runners.base import RunnerKind
from resnas_deploy.runners.registry import default_runner
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.weights.checkpoint import Checkpoint
from resnas_deploy.weights.slicing import slice_subnet

RUNS, OPENINGS = 30, 3


@dataclass(frozen=True)
class Place:
    """Where finalists are measured."""

    kind: RunnerKind
    precision: str
    batch: int
    threads: int
    device: str = ""


@dataclass(frozen=True)
class Finalist:
    """A candidate as it really runs."""

    candidate: Candidate
    checkpoint: Checkpoint
    artifact: Artifact
    measurement: Measurement

    @property
    def measured_ms(self) -> float | None:
        """The median time of a batch; None where it could not run."""
        return self.measurement.percentile(50) if self.measurement.samples_s else None


def measure_finalists(
    candidates: Sequence[Candidate], supernet: Checkpoint, place: Place, folder: Path, tell: Callable[[str], None]
) -> tuple[list[Finalist], Report]:
    """Export each into `folder`, verified, and measure them in turns. Raises `VerificationFailed`."""
    checkpoints = [slice_subnet(supernet, candidate.subnet) for candidate in candidates]
    artifacts = []
    for number, checkpoint in enumerate(checkpoints, start=1):
        tell(f"exporting finalist {number} of {len(candidates)}")
        artifacts.append(_exported(checkpoint, place, folder / f"finalist{number}", tell))
    plan = Plan(
        subjects=tuple(Subject(artifact, place.kind) for artifact in artifacts),
        batches=(place.batch,),
        runs=RUNS,
        threads=place.threads,
        openings=OPENINGS,
        device=place.device,
    )
    report = measure(plan, Extras(), tell)
    if report.interrupted:
        raise KeyboardInterrupt
    measured = {item.configuration.source: item for item in report.measurements}
    finalists = [
        Finalist(candidate, checkpoint, artifact, measured[artifact.source])
        for candidate, checkpoint, artifact in zip(candidates, checkpoints, artifacts, strict=True)
    ]
    return finalists, report


def _exported(checkpoint: Checkpoint, place: Place, out: Path, tell: Callable[[str], None]) -> Artifact:
    request = Request(
        name=out.name,
        out=out,
        precision=place.precision,
        batch=BatchRange(1, max(64, place.batch)),
        force=True,
        verify_on=place.kind if place.kind.runs_graph else default_runner(place.precision, runs_graph=True),
        threads=place.threads,
    )
    return export(lambda: checkpoint, request, tell)


def winner(finalists: Sequence[Finalist], most_ms: float | None) -> Finalist:
    """The most accurate of those whose measured latency meets the limit; where none does, the fastest."""
    meeting = [
        item for item in finalists if most_ms is None or (item.measured_ms is not None and item.measured_ms <= most_ms)
    ]
    if meeting:
        return max(meeting, key=lambda item: item.candidate.rank)
    return min(finalists, key=lambda item: item.measured_ms or float("inf"))
