"""Where the latency model's measurements are kept: an SQLite file that several processes may use at once.

Every group of networks is written in one transaction as soon as it is measured, so a profiling that is killed goes on
where it stopped. What was measured under one key is never seen under another.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from resnas_deploy.arch import ArchSpec
from resnas_deploy.atomic import sync
from resnas_deploy.errors import BadInput

SCHEMA = 1
APPLICATION = 0x72736E73  # "rsns": tells our files from other SQLite databases
UNDISTURBED = 10  # per cent of the runs, which nothing else made longer
WAIT = 30.0  # seconds for another writer
_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes, of which these are the numbers that tell whose file it is (sqlite.org/fileformat2.html)
_SCHEMA_AT, _APPLICATION_AT = slice(60, 64), slice(68, 72)
_AMISS = {  # errors that are not the file's
    sqlite3.SQLITE_BUSY: "another process keeps it locked; wait until it has ended",
    sqlite3.SQLITE_FULL: "free some space, or choose another --store",
    sqlite3.SQLITE_READONLY: "allow writing, or choose another --store",
    sqlite3.SQLITE_CANTOPEN: "choose another --store",
    sqlite3.SQLITE_IOERR: "check its disk, or choose another --store",
}
_DAMAGE = (sqlite3.Error, BadInput, ValueError, TypeError, KeyError, ArithmeticError, RecursionError)
_LEAVE = "nothing was changed: move it away, or choose another --store"
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
    samples_s: tuple[float, ...]  # seconds, by round, at the pace that the machine had in the middle of its rounds
    anchor_s: tuple[float, ...]  # the same of the anchor, in the same rounds

    @property
    def ratio(self) -> float:
        """Time over the anchor's, of each its lowest decile: what disturbs a run makes it longer, never shorter."""
        return float(np.percentile(self.samples_s, UNDISTURBED) / np.percentile(self.anchor_s, UNDISTURBED))


class Store:
    """A context manager. Raises `BadInput` for a file that is damaged, foreign, or of a newer resnas, and leaves it.

    Where there is none yet it is made, or is empty without `create`, which is for those who only read.
    """

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        try:
            if create and not path.exists():
                _create(path)
            there = create or path.exists()
            if there:
                _check_header(path)
            self._database = sqlite3.connect(path if there else ":memory:", timeout=WAIT, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise BadInput(f"{path} cannot be opened: {reason}; choose another --store") from None
        try:
            with self._errors():
                if not there:
                    self._database.executescript(_TABLES)
                (found,) = self._database.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise ValueError(found.splitlines()[-1])
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
        path = self.path.resolve()
        try:
            lock = path.with_name(f"{path.name}.lock").open("w")
        except OSError as error:
            raise BadInput(
                f"{self.path} must lie in a folder that can be written, found: {error.strerror}; choose another --store"
            ) from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadInput(
                    f"only one profiling may run at a time, and another one is measuring for {self.path}; "
                    "start again when it has ended"
                ) from None
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the block or nothing; other writers wait."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # after a full disk SQLite itself has rolled back
                self._database.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary one of an extended code
            if code in _AMISS:
                raise BadInput(f"{self.path} cannot be read or written: {error}; {_AMISS[code]}") from None
            raise BadInput(f"{self.path} must be a latency store that resnas wrote, found: {error}; {_LEAVE}") from None


def _create(path: Path) -> None:
    """A store without networks, which appears whole or not at all, and never in another file's place."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(f"{_TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA};")
        content = database.serialize()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        partial.write_bytes(content)
        sync(partial)
        with suppress(FileExistsError):  # another process was faster
            os.link(partial, path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _check_header(path: Path) -> None:
    """Raise `BadInput` for a file that is no store of ours, before SQLite could alter it."""
    if not path.is_file():
        raise BadInput(f"{path} must be a file, found something else; choose another --store")
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        found = "another file" if header else "an empty one"
        raise BadInput(f"{path} must be a latency store that resnas wrote, found {found}; {_LEAVE}")
    schema, application = (int.from_bytes(header[at], signed=True) for at in (_SCHEMA_AT, _APPLICATION_AT))
    if application != APPLICATION or schema < 1:
        raise BadInput(f"{path} must be a latency store that resnas wrote, found another database; {_LEAVE}")
    if schema > SCHEMA:
        raise BadInput(
            f"{path} must have schema {SCHEMA} or less, found {schema}; use a newer resnas or another --store"
        )


def _content(setting: Setting) -> str:
    return json.dumps(asdict(setting), sort_keys=True)


def _sampled(arch: str, samples: str, anchor: str) -> Sampled:
    found = Sampled(ArchSpec.from_json(json.loads(arch)), _times(samples), _times(anchor))
    if len(found.samples_s) != len(found.anchor_s):
        raise ValueError(f"{len(found.samples_s)} times beside {len(found.anchor_s)} of the anchor")
    return found


def _times(text: str) -> tuple[float, ...]:
    times = tuple(float(value) for value in json.loads(text))
    if not times or not all(0 < value < math.inf for value in times):
        raise ValueError(f"no times: {text[:40]!r}")
    return times
