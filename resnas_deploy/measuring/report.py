"""The document of what was measured together: what `bench()` returns, and `gate()` compares with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.files import records as record
from resnas_deploy.files.outputs import write_text
from resnas_deploy.files.reading import parse_json, read_bytes
from resnas_deploy.measuring.machine.conditions import Conditions
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.plan import MOST_RUNS
from resnas_deploy.measuring.throughput.found import ThroughputSearch

SCHEMA = 2
MAX_BYTES = 32_000_000  # of a document: a million samples
SHORTEST, LONGEST = 1e-9, 1e9  # seconds of a sample


@dataclass(frozen=True)
class Reference:
    """The reference workload, timed in every round beside the rest: how fast the machine was at that moment."""

    name: str
    samples_s: tuple[tuple[float, ...], ...]  # seconds, by opening, as those of every measurement


@dataclass(frozen=True)
class Report:
    """What was measured together, interleaved, on one machine."""

    machine: Machine
    conditions: Conditions
    reference: Reference
    measurements: tuple[Measurement, ...]
    interrupted: bool  # by Ctrl-C: there is less than was asked for
    throughput: tuple[ThroughputSearch, ...] | None = None  # where the best settings were searched
    DERIVED: ClassVar = {"schema": int, "warnings": tuple[str, ...] | None}

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON, with a line for each thing that may have disturbed the measurement."""
        return {"schema": SCHEMA, "warnings": self.conditions.warnings(), **record.to_json(self)}

    def notes(self) -> list[str]:
        """Say what may have disturbed the measurement, or is not in it, a line each."""
        found = self.conditions.warnings()
        if unsettled := [str(item.configuration) for item in self.measurements if item.samples_s and not item.settled]:
            found.append(f"still not steady after the warm-up: {'; '.join(unsettled)}")
        found += [note for search in self.throughput or () for note in search.notes()]
        limit = self.conditions.memory_limit
        if limit is not None and any(item.failure is not None for item in self.measurements):
            found.append(f"the control group allows {limit / 2**30:.1f} GiB of memory")
        if self.interrupted:
            found.append("interrupted: there is less than was asked for")
        return found

    def write(self, path: Path, *, replace: bool = True) -> None:
        """Write the document, at once and whole. Raise `StorageError` or `BadInput` where it cannot."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n", replace=replace)


def read_report(path: Path) -> Report:
    """Read what `Report.write` wrote. Raise `BadInput` that says which file, what must hold, and what was found."""
    try:
        content = read_bytes(path, MAX_BYTES)
    except BadInput as error:
        raise BadInput(f"{error}; `bench()` with `out` makes one") from None
    if not content.strip():
        raise BadInput(f"{path} must be a report of `bench()`, found an empty file; measure it again")
    try:
        data = parse_json(content, str(path))
    except BadInput as error:
        raise BadInput(f"{error}; measure it again") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(data, dict) or type(schema) is not int:
        raise BadInput(f"{path} must be a report of `bench()`, found JSON without a schema number")
    if schema != SCHEMA:
        remedy = "use a newer resnas" if schema > SCHEMA else "measure it again"
        raise BadInput(f"{path} must have schema {SCHEMA}, found {shown(schema, 20)}; {remedy}")
    report = record.from_json(Report, data, str(path))
    check_samples(report.reference, report.measurements, path)
    return report


def check_samples(reference: Reference, measurements: Sequence[Measurement], path: Path) -> None:
    """Raise `BadInput`, which names the file, unless each sample is a time and belongs to a round of the reference."""
    rounds = [len(opening) for opening in reference.samples_s]
    if 0 in rounds:
        raise BadInput(f"{path} must have samples in each opening, found none in opening {rounds.index(0) + 1}")
    if sum(rounds) > MOST_RUNS:
        raise BadInput(f"{path} must have at most {MOST_RUNS} runs, found {sum(rounds)}; is it a report of `bench()`?")
    named = [("the reference workload", reference.samples_s, rounds)]
    named += [(str(m.configuration), m.samples_s, [] if m.failure else rounds) for m in measurements]
    for name, samples, expected in named:
        if (found := [len(opening) for opening in samples]) != expected:
            raise BadInput(
                f"{path} must have {_short(expected)} samples of {shown(name)} by opening, found {_short(found)}; "
                "measure it again"
            )
        if wrong := [second for opening in samples for second in opening if not SHORTEST <= second <= LONGEST]:
            raise BadInput(
                f"{path} must hold times of {SHORTEST:g} to {LONGEST:g} s, found {wrong[0]:g} of {shown(name)}"
            )


def _short(numbers: list[int]) -> str:
    return shortened(str(numbers), 100)
