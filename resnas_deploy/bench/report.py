"""The document of one session of measuring: what `--json` prints, `--out` writes, and `resnas gate` compares with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.atomic import atomic_file
from resnas_deploy.bench import record
from resnas_deploy.bench.conditions import Conditions
from resnas_deploy.bench.machine import Machine
from resnas_deploy.bench.measurement import Measurement
from resnas_deploy.errors import BadInput

SCHEMA = 2
MAX_BYTES = 200_000_000  # of a document


@dataclass(frozen=True)
class Reference:
    """The reference workload, timed in every round beside the rest: how fast the machine was at that moment."""

    name: str
    samples_s: tuple[tuple[float, ...], ...]  # seconds, by opening, as those of every measurement


@dataclass(frozen=True)
class Report:
    """What was measured in one session on one machine."""

    machine: Machine
    conditions: Conditions
    reference: Reference
    measurements: tuple[Measurement, ...]
    interrupted: bool  # by Ctrl-C: there are fewer samples than were asked for

    def to_json(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {"schema": SCHEMA, **record.to_json(self)}

    def write(self, path: Path) -> None:
        """Write the document, at once and whole. Raises `BadInput` where it cannot be written."""
        text = json.dumps(self.to_json(), indent=1)
        with atomic_file(path) as partial:
            partial.write_text(text + "\n")


def read_report(path: Path) -> Report:
    """Read what `Report.write` wrote. Raises `BadInput` that says which file, what must hold, and what was found."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path} must have at most {MAX_BYTES} bytes, found more; is it a result of resnas bench?")
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{path} must be a readable file, found: {error.strerror}; resnas bench --out makes one"
        ) from None
    if not content.strip():
        raise BadInput(f"{path} must be a result of resnas bench, found an empty file; measure it again")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise BadInput(f"{path} must be JSON, found something else (cut short?); measure it again") from None
    schema = data.pop("schema", None) if isinstance(data, dict) else None
    if type(schema) is not int:
        raise BadInput(f"{path} must be a result of resnas bench, found JSON without a schema number")
    if schema != SCHEMA:
        remedy = "use a newer resnas" if schema > SCHEMA else "measure it again"
        raise BadInput(f"{path} must have schema {SCHEMA}, found {str(schema)[:20]}; {remedy}")
    return _checked(record.from_json(Report, data, str(path)), path)


def _checked(report: Report, path: Path) -> Report:
    """Every sample must be a time, and belong to a round of the reference."""
    rounds = [len(opening) for opening in report.reference.samples_s]
    for samples in (report.reference.samples_s, *(m.samples_s for m in report.measurements if m.failure is None)):
        if [len(opening) for opening in samples] != rounds:
            raise BadInput(f"{path} must have as many samples of everything in each opening, found others")
        if any(second <= 0 for opening in samples for second in opening):
            raise BadInput(f"{path} must hold times above 0, found others")
    return report
