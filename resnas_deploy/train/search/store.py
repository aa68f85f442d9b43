"""A search's candidates, in an SQLite file: what was evaluated once is never evaluated again, whatever ends the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from resnas_deploy.database import Database, Format
from resnas_deploy.errors import BadInput
from resnas_deploy.train.search.candidate import Candidate, Score, from_text, to_text

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
FORMAT = Format("search", "--out", application=0x72736E74, schema=1, tables=_TABLES)  # "rsnt"


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
                "give the same options as before, or another --out"
            )

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Keep candidates, all or none of them."""
        rows = [
            (
                to_text(item.subnet),
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
        """All of them, in the order in which they were kept."""
        with self.errors():
            rows = self.rows("SELECT subnet, correct, seen, stopped, costs, iteration FROM candidate ORDER BY rowid")
            return [
                Candidate(from_text(subnet), Score(correct, seen, bool(stopped)), tuple(json.loads(costs)), iteration)
                for subnet, correct, seen, stopped, costs, iteration in rows
            ]
