"""The folder of a deployment. Each step's result is there as it comes, so that a killed run loses one step.

deployment.json  what was asked for
artifacts/NAME   an artifact that was exported
steps/NAME.json  a step as it ended, and what it was made of
bench.json       what was measured, as `bench()` has it
trial/NAME       a repository with one candidate alone, which is checked and asked before the real one is touched
report.json      everything; report.html shows it
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from resnas_deploy.deploying.result import MAX_BYTES, SCHEMA, Asked, Deployment, LoadTested
from resnas_deploy.errors import BadInput
from resnas_deploy.files import records as record
from resnas_deploy.files.atomic import atomic_file, write_errors, write_json
from resnas_deploy.files.reading import read_json

MARKER, ARTIFACTS, STEPS, BENCH, TRIAL = "deployment.json", "artifacts", "steps", "bench.json", "trial"
REPORT, PAGE = "report.json", "report.html"
_REMEDY = "choose another `out`"


@dataclass(frozen=True)
class Marker:
    """What a folder of a deployment is of."""

    schema: int
    asked: Asked


@dataclass(frozen=True)
class ExportStep:
    """A candidate that was exported, or why it could not be."""

    of: str  # sha256 of what it was made of
    seconds: float
    digest: str = ""  # of the graph
    engine: str = ""  # below the artifact's folder
    left_out: str = ""


@dataclass(frozen=True)
class MeasureStep:
    """The candidates were measured; the report stands beside."""

    of: str
    seconds: float


@dataclass(frozen=True)
class LoadStep:
    """A server of a candidate was asked."""

    of: str
    seconds: float
    load: LoadTested


Step = TypeVar("Step", ExportStep, MeasureStep, LoadStep)


@dataclass(frozen=True)
class Kept:
    """The folder, which this process holds."""

    folder: Path

    @property
    def bench(self) -> Path:
        """What was measured."""
        return self.folder / BENCH

    def artifact(self, name: str) -> Path:
        """Return where a candidate is exported to."""
        return self.folder / ARTIFACTS / name

    def trial(self, name: str) -> Path:
        """Return the repository of a candidate alone."""
        return self.folder / TRIAL / name

    def begin(self, asked: Asked) -> None:
        """Say what the folder is of. Raise `BadInput` for a folder of anything else, `StorageError`."""
        path = self.folder / MARKER
        if path.exists():
            found = record.from_json(Marker, read_json(path, MAX_BYTES), str(path))
            if found.schema != SCHEMA:
                raise BadInput(f"{path} must have schema {SCHEMA}, found {found.schema}; {_REMEDY}")
        elif others := sorted(item.name for item in self.folder.iterdir() if not item.name.startswith(".")):
            raise BadInput(f"{self.folder} must be empty or of a deployment, found {others[0]:.60} in it; {_REMEDY}")
        with write_errors(self.folder):
            for name in (ARTIFACTS, STEPS, TRIAL):
                (self.folder / name).mkdir(exist_ok=True)
        write_json(path, record.to_json(Marker(SCHEMA, asked)))

    def add(self, name: str, step: ExportStep | MeasureStep | LoadStep) -> None:
        """Keep a step as it ended. Raise `StorageError` where it cannot be written."""
        write_json(self.folder / STEPS / f"{name}.json", record.to_json(step))

    def step(self, name: str, kind: type[Step], of: str) -> Step | None:
        """Return a step that was kept and made of the same; None too where its file is damaged."""
        path = self.folder / STEPS / f"{name}.json"
        if not path.exists():
            return None
        try:
            found = record.from_json(kind, read_json(path, MAX_BYTES), str(path))
        except BadInput:
            return None
        return found if found.of == of else None

    def finish(self, deployment: Deployment, page: str) -> None:
        """Write the report and its page. Raise `StorageError`."""
        write_json(self.folder / REPORT, deployment.to_json())
        with atomic_file(self.folder / PAGE) as partial:
            partial.write_text(page, encoding="utf-8", newline="\n")


def made_of(**what: object) -> str:
    """Return the sha256 of what a step hangs on: plain data."""
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
