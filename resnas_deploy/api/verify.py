"""Verifying: an artifact's graph against the PyTorch module, again and anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.api.parameters import checked
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.manifest import Verification
from resnas_deploy.engines.finding import open_subject, runner_of
from resnas_deploy.exporting.export import check_verifiable
from resnas_deploy.exporting.quantise import DEFAULT_DROP
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.registry import graph_runner
from resnas_deploy.runners.tf32 import check_rounds


@dataclass(frozen=True)
class Verified:
    """An artifact whose files are as their hashes say and whose graph computes what the module does."""

    artifact: Artifact
    verification: Verification  # what was compared, with the tolerance and the largest difference

    def to_json(self) -> dict[str, object]:
        """Return what `resnas verify --json` prints."""
        return {
            "artifact": str(self.artifact.folder),
            "label": self.artifact.manifest.label,
            "error": None,
            "verification": self.verification.to_json(),
        }


@checked
def verify(
    artifact: str | Path | Artifact,
    *,
    runner: str = "",
    engine: str | Path = "",
    device: str = "",
    tf32: bool = False,
    data: str | Path = "",
    max_drop: float = DEFAULT_DROP,
    threads: int = 0,
    progress: Progress = silent,
) -> Verified:
    """Check an artifact's files and compare its graph with the PyTorch module on a runtime of your choice.

    Args:
        artifact: a folder, an engine in one (engines/ID.engine, .pt2, .onnx, .xml), or an artifact that is open.
        runner: the runtime; the first that can run the precision where none is named, or that of the engine.
        engine: the engine of the artifact to compare with the module: the beginning of its ID, or its file; the
            runner's, which is found or built, where none is named.
        device: cpu, cuda or cuda:N; the runner's usual one where none is named.
        tf32: on a GPU, let float32 be rounded to TF32; the tolerance is then that of TF32.
        data: int8 and fp8: labelled images to compare accuracy on: demo, or a folder with train/ and val/.
        max_drop: int8 and fp8: percentage points of top-1 that may be lost.
        threads: of the CPU; 0 takes every core.
        progress: told what is being done.

    Raise `VerificationFailed`, whose `report` is what was compared, where the two differ by more than the tolerance;
    `BadInput` for an artifact that is not whole, and `NotAvailable` where torch or the runtime is missing.
    """
    opened, file = open_subject(artifact, engine)
    kind = (runner_of(file, runner) if file else graph_runner(runner, opened.precision, device)).on(device, tf32=tf32)
    if tf32:
        check_rounds(opened.precision, opened.manifest.type)
    check_verifiable(kind, opened.precision, engine=file is not None)
    from resnas_deploy.exporting.verify import verify as compare  # imports torch

    return Verified(opened, compare(opened, kind, threads or usable_cores(), progress, str(data), max_drop, file))
