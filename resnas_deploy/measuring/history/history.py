"""The file of a history: read strictly, added to a line at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files import records as record
from resnas_deploy.files.json_lines import append_line, read_lines
from resnas_deploy.files.reading import parse_json
from resnas_deploy.measuring.history.record import SCHEMA, Case, GateRecord, Identity


@dataclass(frozen=True)
class History:
    """The runs of a gate, in the order of the file."""

    file: str
    records: tuple[GateRecord, ...]
    torn_bytes: int = 0  # at the end, of a record whose writer was killed

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "file": self.file,
            "torn_bytes": self.torn_bytes,
            "records": [each.to_json() for each in self.records],
        }

    def notes(self) -> list[str]:
        """Say what is not in it, a line each."""
        if not self.torn_bytes:
            return []
        return [
            f"the last {self.torn_bytes} bytes of {self.file} are no whole record (its writer was killed): "
            "they are left out, and go when the next is added"
        ]

    def cases(self) -> dict[Identity, list[tuple[int, Case]]]:
        """Return each case with the numbers of the runs that it is in, from 0."""
        found: dict[Identity, list[tuple[int, Case]]] = {}
        for number, each in enumerate(self.records):
            for case in each.cases:
                found.setdefault(case.key, []).append((number, case))
        return found

    def changes(self) -> Iterator[tuple[int, str]]:
        """Yield the numbers of the runs before which something has changed that figures hang on, and what."""
        for number, (before, after) in enumerate(zip(self.records, self.records[1:], strict=False), 1):
            if differences := after.machine.differences(before.machine, ("before", "then")):
                yield number, f"another machine ({'; '.join(differences)})"
            if after.baseline_digest != before.baseline_digest:
                yield number, "a new baseline"


def read_history(path: Path) -> History:
    """Read a history. Raise `BadInput` with the file and the line where something else stands in it."""
    lines = read_lines(path)
    records = tuple(_record(line, f"{path}, line {number}") for number, line in enumerate(lines.whole, 1))
    return History(str(path), records, lines.torn)


def add_to_history(path: Path, added: GateRecord) -> int:
    """Add a record, and return how many bytes of a torn one before it were taken away. Raise `StorageError`."""
    return append_line(path, json.dumps(added.to_json(), separators=(",", ":")).encode())


def _record(line: bytes, name: str) -> GateRecord:
    try:
        data = parse_json(line, name)
    except BadInput as error:
        raise BadInput(f"{error}; is it what `gate()` with `history` wrote?") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if type(schema) is not int:
        raise BadInput(f"{name} must be a record of `gate()` with `history`, found JSON without a schema number")
    if schema != SCHEMA:
        raise BadInput(f"{name} must have schema {SCHEMA}, found {shown(schema, 20)}; use a newer resnas")
    return record.from_json(GateRecord, data, name)
