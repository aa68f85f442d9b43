"""Where the latency model's measurements are kept: an SQLite file that several processes may use at once.

Every group of networks is written in one transaction as soon as it is measured, so a profiling that is killed goes on
where it stopped. What was measured under one key is never seen under another.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from resnas_deploy.arch import ArchSpec
from resnas_deploy.errors import BadInput

SCHEMA = 1
APPLICATION = 0x72736E73  # "rsns": tells our files from other SQLite databases
WAIT = 30.0  # seconds for another writer
_TABLES = """
CREATE TABLE setting (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);
CREATE TABLE network (
    setting INTEGER NOT NULL REFERENCES setting (id),
    space TEXT NOT NULL,
    purpose TEXT NOT NULL,
    opening INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    arch TEXT NOT NULL,
    samples_s TEXT NOT NULL,
    anchor_s TEXT NOT NULL,
    PRIMARY KEY (setting, space, purpose, opening, fingerprint)
);
"""


@dataclass(frozen=True)
class Setting:
    """All that a latency depends on beside the network. Measurements of different settings are never mixed."""

    machine: str  # `Machine.slug`
    runner: str
    version: str  # of the runtime
    device: str
    precision: str
    batch: int
    threads: int


@dataclass(frozen=True)
class Sampled:
    """A network that was measured, in turns with the anchor."""

    arch: ArchSpec
    samples_s: tuple[float, ...]  # seconds
    anchor_s: tuple[float, ...]  # seconds, in the same rounds

    @property
    def ratio(self) -> float:
        """Median time over the anchor's, round by round."""
        return float(np.median(np.array(self.samples_s) / np.array(self.anchor_s)))


class Store:
    """A context manager. Raises `BadInput` for a file that is damaged, foreign, or of a newer resnas."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise BadInput(f"{path} cannot be opened: {error}; choose another --store") from None
        try:
            with self._errors():
                self._prepare()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def add(self, setting: Setting, space: str, purpose: str, opening: int, measured: Iterable[Sampled]) -> None:
        """Keep networks, all or none of them. One that is there already stays as it was."""
        rows = [
            (
                space,
                purpose,
                opening,
                item.arch.fingerprint,
                json.dumps(item.arch.to_json()),
                json.dumps(item.samples_s),
                json.dumps(item.anchor_s),
            )
            for item in measured
        ]
        with self._errors(), self._transaction():
            self._database.execute("INSERT OR IGNORE INTO setting (content) VALUES (?)", (_content(setting),))
            (number,) = self._database.execute(
                "SELECT id FROM setting WHERE content = ?", (_content(setting),)
            ).fetchone()
            self._database.executemany(
                "INSERT OR IGNORE INTO network VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(number, *row) for row in rows]
            )

    def networks(self, setting: Setting, space: str, purpose: str, opening: int = 0) -> list[Sampled]:
        """What was measured, in the order in which it was kept."""
        with self._errors():
            rows = self._database.execute(
                "SELECT arch, samples_s, anchor_s FROM network JOIN setting ON setting.id = network.setting "
                "WHERE content = ? AND space = ? AND purpose = ? AND opening = ? ORDER BY network.rowid",
                (_content(setting), space, purpose, opening),
            ).fetchall()
            return [_sampled(*row) for row in rows]

    def settings(self) -> list[tuple[Setting, str, int]]:
        """What was profiled: each setting and space, and the number of networks."""
        with self._errors():
            rows = self._database.execute(
                "SELECT content, space, COUNT(*) FROM network JOIN setting ON setting.id = network.setting "
                "WHERE purpose = 'profile' GROUP BY content, space ORDER BY content, space"
            ).fetchall()
            return [(Setting(**json.loads(content)), space, count) for content, space, count in rows]

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Hold the right to measure for this store. Raises `BadInput` where another process has it.

        Two that measure at once would take the cores from each other, and both be wrong.
        """
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(
                    f"only one profiling may run at a time, and another one is measuring for {self.path}; "
                    "start again when it has ended"
                ) from None
            yield

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            (tables,) = self._database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            (application,) = self._database.execute("PRAGMA application_id").fetchone()
            (schema,) = self._database.execute("PRAGMA user_version").fetchone()
            if not tables:
                for statement in filter(str.strip, _TABLES.split(";")):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA application_id = {APPLICATION}")
                self._database.execute(f"PRAGMA user_version = {SCHEMA}")
            elif application != APPLICATION:
                raise BadInput(f"{self.path} must be a latency store, found another database; choose another --store")
            elif schema > SCHEMA:
                raise BadInput(
                    f"{self.path} must have schema {SCHEMA} or less, found {schema}; use a newer resnas or another "
                    "--store"
                )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the block or nothing; other writers wait."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            raise BadInput(
                f"{self.path} must be an SQLite file that resnas wrote, found: {error}; nothing was changed: "
                "move it away, or choose another --store"
            ) from None


def _content(setting: Setting) -> str:
    return json.dumps(asdict(setting), sort_keys=True)


def _sampled(arch: str, samples: str, anchor: str) -> Sampled:
    return Sampled(ArchSpec.from_json(json.loads(arch)), _times(samples), _times(anchor))


def _times(text: str) -> tuple[float, ...]:
    times = tuple(float(value) for value in json.loads(text))
    if not times or min(times) <= 0:
        raise ValueError(f"no times: {text[:40]}")
    return times
