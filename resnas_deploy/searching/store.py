"""A search's candidates, in an SQLite file: what was evaluated once is never evaluated again, whatever ends the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypeGuard

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.reading import parse_json
from resnas_deploy.files.sqlite import Database, Format
from resnas_deploy.searching.candidate import Candidate, Score, subnet_from_line, subnet_line

_TABLES = """
CREATE TABLE search (identity TEXT NOT NULL);
CREATE TABLE candidate (
    subnet TEXT PRIMARY KEY,
    iteration INTEGER NOT NULL,
    correct INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    stopped INTEGER NOT NULL,
    costs TEXT NOT NULL
);
"""
FORMAT = Format("search", "out", application=0x72736E74, schema=1, tables=_TABLES)  # "rsnt"


class SearchStore(Database):
    """The candidates of one search. Raises `BadInput` where the file is of another one."""

    def __init__(self, path: Path, identity: str) -> None:
        super().__init__(path, FORMAT)
        with self.errors(), self.transaction():
            found = self.rows("SELECT identity FROM search")
            if not found:
                self.insert("INSERT INTO search VALUES (?)", [(identity,)])
        if found and found != [(identity,)]:
            self.__exit__()
            raise BadInput(
                f"{path} must be of the same search, found another supernet, data, limit or setting; "
                "give the same options as before, or another `out`"
            )

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Keep candidates, all or none of them."""
        rows = [
            (
                subnet_line(item.subnet),
                item.iteration,
                item.score.correct,
                item.score.seen,
                int(item.score.stopped),
                json.dumps(item.costs),
            )
            for item in candidates
        ]
        with self.errors(), self.transaction():
            self.insert("INSERT OR IGNORE INTO candidate VALUES (?, ?, ?, ?, ?, ?)", rows)

    def candidates(self) -> list[Candidate]:
        """Return all of them, in the order in which they were kept."""
        with self.errors():
            rows = self.rows("SELECT subnet, correct, seen, stopped, costs, iteration FROM candidate ORDER BY rowid")
            return [_candidate(*row) for row in rows]


def _candidate(
    subnet: object, correct: object, seen: object, stopped: object, costs: object, iteration: object
) -> Candidate:
    """Read a row. Raise `BadInput` where it cannot have been a candidate."""
    if not (_is_count(correct) and _is_count(seen) and correct <= seen and stopped in (0, 1) and _is_count(iteration)):
        raise BadInput(f"a score must be of so many of so many images, found {shown((correct, seen, stopped))}")
    numbers = parse_json(costs if isinstance(costs, str) else "", "costs")
    if not isinstance(numbers, list) or not all(type(number) in (int, float) and number >= 0 for number in numbers):
        raise BadInput(f"costs must be a list of numbers from 0, found {shown(numbers)}")
    score = Score(correct, seen, bool(stopped))
    return Candidate(subnet_from_line(subnet), score, tuple(map(float, numbers)), iteration)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0
