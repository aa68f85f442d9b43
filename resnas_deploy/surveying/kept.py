"""The folder of a survey: what it is of, a file for each step that has ended, and logs. Results are there as they come.

survey.json     the machine and packages
steps/NAME.json a step as it ended
logs/NAME.log   what its process printed
work/           what several steps use; gone in the end
report.json     everything; report.html shows it
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.errors import BadInput
from resnas_deploy.files import records as record
from resnas_deploy.files.atomic import atomic_file, write_errors, write_json
from resnas_deploy.files.reading import read_json
from resnas_deploy.surveying.results import SCHEMA, Identity, Step, Survey

MARKER, STEPS, LOGS, WORK = "survey.json", "steps", "logs", "work"
REPORT, PAGE = "report.json", "report.html"
MOST_STEP, MOST_REPORT = 32_000_000, 256_000_000  # bytes of a file
_REMEDY = "choose another `out`"


@dataclass(frozen=True)
class Marker:
    """What a folder of a survey is of."""

    schema: int
    identity: Identity


@dataclass(frozen=True)
class Kept:
    """The folder, which this process holds."""

    folder: Path

    @property
    def work(self) -> Path:
        """What several steps use."""
        return self.folder / WORK

    def before(self) -> Identity | None:
        """Return what the folder is of; None of an empty one. Raise `BadInput` for a folder of anything else."""
        path = self.folder / MARKER
        if not path.exists():
            if others := sorted(item.name for item in self.folder.iterdir() if not item.name.startswith(".")):
                raise BadInput(
                    f"{self.folder} must be empty or of a GPU report, found {others[0]:.60} in it; {_REMEDY}"
                )
            return None
        found = record.from_json(Marker, read_json(path), str(path))
        if found.schema != SCHEMA:
            raise BadInput(f"{path} must have schema {SCHEMA}, found {found.schema}; {_REMEDY}")
        return found.identity

    def begin(self, identity: Identity) -> None:
        """Say what the folder is of from now on. Raise `StorageError` where it cannot be written."""
        with write_errors(self.folder):
            for name in (STEPS, LOGS):
                (self.folder / name).mkdir(exist_ok=True)
        write_json(self.folder / MARKER, record.to_json(Marker(SCHEMA, identity)))

    def add(self, step: Step, log: str = "") -> None:
        """Keep a step as it ended, with its log. Raise `StorageError` where it cannot be written."""
        with atomic_file(self.folder / LOGS / f"{step.name}.log") as partial:
            partial.write_text(f"{log}\n" if log else "", encoding="utf-8", newline="\n")
        write_json(self.folder / STEPS / f"{step.name}.json", record.to_json(step))

    def step(self, name: str, identity: Identity) -> Step | None:
        """Return a step that was kept on this machine with these packages; None too where its file is damaged."""
        path = self.folder / STEPS / f"{name}.json"
        if not path.exists():
            return None
        try:
            found = record.from_json(Step, read_json(path, MOST_STEP), str(path))
        except BadInput:
            return None
        return found if found.identity == identity.digest and found.name == name else None

    def finish(self, survey: Survey, page: str) -> None:
        """Write the report and the page, and remove what was only for the steps. Raise `StorageError`."""
        write_json(self.folder / REPORT, survey.to_json())
        with atomic_file(self.folder / PAGE) as partial:
            partial.write_text(page, encoding="utf-8", newline="\n")
        if not survey.interrupted:
            shutil.rmtree(self.work, ignore_errors=True)


def read_survey(path: Path) -> Survey:
    """Read a report. Raise `BadInput` that says which file, what must hold, and what was found."""
    found = record.from_json(Survey, read_json(path, MOST_REPORT), str(path))
    if found.schema != SCHEMA:
        raise BadInput(f"{path} must have schema {SCHEMA}, found {found.schema}; measure it again")
    return found
