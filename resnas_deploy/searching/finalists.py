"""The finalists of a search: exported, verified and measured for real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.batch import USUAL
from resnas_deploy.exporting.export import Request, export
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.measure import measure
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.report import Report
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.registry import default_runner
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.weights.checkpoint import Checkpoint
from resnas_deploy.weights.slicing import slice_subnet

RUNS, OPENINGS = 30, 3


@dataclass(frozen=True)
class Finalist:
    """A candidate as it really runs."""

    candidate: Candidate
    checkpoint: Checkpoint
    artifact: Artifact
    measurement: Measurement

    @property
    def measured_ms(self) -> float | None:
        """Return the median time of a batch; None where it could not run."""
        return self.measurement.percentile(50) if self.measurement.samples_s else None

    def within(self, most_ms: float | None) -> bool:
        """Tell whether it was measured within a limit; without one everything is."""
        return most_ms is None or (self.measured_ms is not None and self.measured_ms <= most_ms)


def measure_finalists(
    candidates: Sequence[Candidate], supernet: Checkpoint, setup: Setup, folder: Path, progress: Progress = silent
) -> tuple[list[Finalist], Report]:
    """Export each into `folder`, verified, and measure them interleaved. Raise `VerificationFailed`."""
    checkpoints = [slice_subnet(supernet, candidate.subnet) for candidate in candidates]
    artifacts = []
    for number, checkpoint in enumerate(checkpoints, start=1):
        progress(f"exporting finalist {number} of {len(candidates)}")
        artifacts.append(_export(checkpoint, setup, folder / f"finalist{number}", progress))
    plan = Plan(
        subjects=tuple(Subject(artifact, setup.kind) for artifact in artifacts),
        batches=(setup.batch,),
        runs=RUNS,
        threads=setup.cores,
        openings=OPENINGS,
        device=setup.device,
    )
    report = measure(plan, Extras(), progress)
    if report.interrupted:
        raise KeyboardInterrupt
    measured = {item.configuration.source: item for item in report.measurements}
    finalists = [
        Finalist(candidate, checkpoint, artifact, measured[artifact.source])
        for candidate, checkpoint, artifact in zip(candidates, checkpoints, artifacts, strict=True)
    ]
    return finalists, report


def _export(checkpoint: Checkpoint, setup: Setup, out: Path, progress: Progress) -> Artifact:
    request = Request(
        name=out.name,
        out=out,
        precision=setup.precision,
        batch=USUAL.extended_to(setup.batch),
        force=True,
        verify_on=setup.kind if setup.kind.runs_graph else default_runner(setup.precision, runs_graph=True),
        threads=setup.cores,
    )
    return export(lambda: checkpoint, request, progress)


def winner(finalists: Sequence[Finalist], most_ms: float | None) -> Finalist:
    """Return the most accurate of those whose measured latency meets the limit; where none does, the fastest."""
    if meeting := [item for item in finalists if item.within(most_ms)]:
        return max(meeting, key=lambda item: item.candidate.rank)
    return min(finalists, key=lambda item: item.measured_ms or float("inf"))
