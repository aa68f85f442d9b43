"""What a deployment is handed: the candidates to try, the machine, and whoever exports, measures and serves for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.manifest import Accuracy
from resnas_deploy.deploying.result import LoadLevel, ServingSetting
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.report import Report
from resnas_deploy.progress import Progress


@dataclass(frozen=True)
class Planned:
    """A candidate that is to be tried."""

    name: str
    precision: str
    artifact: Path | None = None  # that was given; None: one is exported
    left_out: str = ""  # why it is not tried at all


@dataclass(frozen=True)
class Made:
    """What can be served of a candidate."""

    artifact: Artifact
    engine: Path | None = None
    accuracy: Accuracy | None = None  # where it was measured here, and not when the artifact was exported

    @property
    def served(self) -> Path:
        """What a repository is given."""
        return self.engine or self.artifact.folder


@dataclass(frozen=True)
class Placed:
    """A model in a repository."""

    model: Path
    version: int
    notes: tuple[str, ...]


class Actions(Protocol):
    """What a deployment has others do."""

    def export(self, precision: str, out: Path, minutes: float, progress: Progress) -> Made:
        """Export a candidate, over what may be there. Raise `VerificationFailed` where it is not good enough."""
        ...

    def open(self, artifact: Path, progress: Progress) -> Made:
        """Open an artifact that is there. Raise `VerificationFailed` where it is not accurate enough."""
        ...

    def check_fits(self, made: Made, repository: Path) -> None:
        """Raise `BadInput` where the model is in a repository already, and takes or gives something else."""
        ...

    def measure(self, made: Sequence[Made], limit_ms: float, minutes: float, progress: Progress) -> Report:
        """Search the best setting of each."""
        ...

    def place(self, made: Made, repository: Path, setting: ServingSetting, bench: Path, progress: Progress) -> Placed:
        """Add it to a repository."""
        ...

    def check(self, repository: Path, progress: Progress) -> None:
        """Raise `VerificationFailed` where a claim of the model in a repository does not hold."""
        ...

    def load(self, repository: Path, progress: Progress) -> tuple[float, tuple[LoadLevel, ...]]:
        """Serve a repository and return the most requests a second within the level, and all that were tried."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """Where a deployment is done."""

    machine: Machine
    server: str  # what tells one server from another; empty: there is none here
    no_server: str  # what to say then
    export_of: str  # what an export hangs on beside its precision
