"""What was done: in an SQLite file as the campaign goes, and in result files for others to recompute from.

A sitting begins with what is in both: a machine that has the repository alone goes on where another one stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from tabulated import RESULTS

from evidence.job import Done
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.sqlite import Database, Format

FOLDER = RESULTS / "evidence"
_TABLES = """
CREATE TABLE done (
    key TEXT PRIMARY KEY,
    part TEXT NOT NULL,
    content TEXT NOT NULL
);
"""
FORMAT = Format("campaign", "state", application=0x7273_6E65, schema=1, tables=_TABLES)  # "rsne"


class State(Database):
    """The jobs that are done. A context manager; raises what `Database` does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, FORMAT)

    def add(self, done: Iterable[Done]) -> None:
        """Keep what is done, in place of what was there before."""
        rows = [(one.key, one.part, json.dumps(asdict(one))) for one in done]
        with self.errors(), self.transaction():
            self.insert("INSERT OR REPLACE INTO done VALUES (?, ?, ?)", rows)

    def take(self, parts: Iterable[str], folder: Path) -> None:
        """Take what the result files of some parts hold and this lacks."""
        there = {one.key for one in self.done()}
        self.add(one for part in parts for one in recorded(part, folder) if one.key not in there)

    def forget(self, parts: Sequence[str], folder: Path) -> None:
        """Drop parts and their result files; they are then done again."""
        for part in parts:
            (folder / f"{part}.jsonl").unlink(missing_ok=True)
        with self.errors(), self.transaction():
            self.insert("DELETE FROM done WHERE part = ?", [(part,) for part in parts])

    def done(self) -> list[Done]:
        """Return all."""
        with self.errors():
            return [Done(**json.loads(content)) for (content,) in self.rows("SELECT content FROM done ORDER BY rowid")]


def recorded(part: str, folder: Path = FOLDER) -> list[Done]:
    """Return what the result file of a part holds."""
    path = folder / f"{part}.jsonl"
    return [Done(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def record(part: str, done: Sequence[Done], folder: Path = FOLDER) -> None:
    """Write the result file of a part, a line for each job."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / f"{part}.jsonl") as partial:
        partial.write_text("".join(f"{json.dumps(asdict(one))}\n" for one in done))
