"""SQLite files of ours: made whole, checked before SQLite may alter them, and refused in one line."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from resnas_deploy.errors import BadInput, StorageError, shortened, shown
from resnas_deploy.files.atomic import Taken, atomic_file, unwritable
from resnas_deploy.files.reading import opened

WAIT = 30.0  # seconds for another writer
MOST_BYTES = 500_000_000  # of a file; a search of 100,000 networks takes about 400 million
_MOST_VALUE = 10_000_000  # bytes of one value, and of one statement
_MOST_CPU = 30.0  # seconds of this thread for one statement: beyond that a file keeps it busy on purpose
_BETWEEN = 100_000  # instructions of SQLite's between two looks at the clock
_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes, of which these are the numbers that tell whose file it is (sqlite.org/fileformat2.html)
_SCHEMA_AT, _APPLICATION_AT = slice(60, 64), slice(68, 72)
_DAMAGE = (
    sqlite3.Error,
    BadInput,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    ArithmeticError,
    RecursionError,
)


@dataclass(frozen=True)
class EarlierSchema:
    """A schema of before, which files of users still have."""

    schema: int
    tables: str  # SQL that made them
    upgrade: Callable[[sqlite3.Connection], None]  # makes the newest of it, within a transaction


@dataclass(frozen=True)
class Format:
    """One kind of file."""

    name: str  # what it is called in messages
    field: str  # of the Python API, which names the file
    application: int  # tells our files from other SQLite databases
    schema: int
    tables: str  # SQL that makes them
    earlier: tuple[EarlierSchema, ...] = ()

    @property
    def leave(self) -> str:
        """Return what to do about a file that is not ours."""
        return f"nothing was changed: move it away, or choose another `{self.field}`"


class Database:
    """A context manager. Raises `BadInput` for a file that is damaged, foreign, or of a newer resnas, and leaves it.

    What cannot be opened or written, though nothing is wrong with it, is a `StorageError`.

    Where there is none yet it is made, or is empty without `create`, which is for those who only read. A file of an
    earlier schema is upgraded, once; for those who only read a copy of it is, in memory.
    """

    def __init__(self, path: Path, kind: Format, *, create: bool = True) -> None:
        self.path, self._kind = path, kind
        try:
            if create and not path.exists():
                _create(path, kind)
            there = create or path.exists()
            schema = _check_header(path, kind) if there else kind.schema
            self._connection = sqlite3.connect(path if there else ":memory:", timeout=WAIT, isolation_level=None)
            self._bounded()
        except OSError as error:
            raise unwritable(path, error, f"choose another `{kind.field}`", "opened") from None
        except sqlite3.Error as error:
            raise StorageError(f"{path} cannot be opened: {error}; choose another `{kind.field}`") from None
        try:
            with self.errors():
                if not there:
                    self._connection.executescript(kind.tables)
                elif schema != kind.schema:
                    self._upgrade(copy=not create)
                self._check(kind.tables)
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def check_writable(self) -> None:
        """Raise `StorageError` where nothing can be added, before that is measured which would be."""
        with self.errors():
            self._connection.execute("BEGIN IMMEDIATE")  # which makes sure of it, and changes nothing
            self._connection.execute("ROLLBACK")

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """Return what a query finds."""
        self._start_clock()
        return self._connection.execute(query, values).fetchall()

    def insert(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Run the statement with each of the rows."""
        self._start_clock()
        self._connection.executemany(statement, rows)

    def _bounded(self) -> None:
        """Let no file's own SQL call functions, and nothing in a file take memory or time without an end."""
        connection = self._connection
        self._start_clock()
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _MOST_VALUE)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.set_progress_handler(lambda: time.thread_time() > self._until, _BETWEEN)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")

    def _start_clock(self) -> None:
        self._until = time.thread_time() + _MOST_CPU

    def _upgrade(self, *, copy: bool) -> None:
        """Bring an earlier schema up to date, in the file or, for those who only read, in a copy of it."""
        if copy:
            with closing(self._connection) as file:
                self._connection = sqlite3.connect(":memory:", isolation_level=None)
                self._bounded()
                file.backup(self._connection)
        with self.transaction():
            ((schema,),) = self.rows("PRAGMA user_version")  # again: another process may have done it meanwhile
            for earlier in (item for item in self._kind.earlier if item.schema == schema):
                self._check(earlier.tables)
                earlier.upgrade(self._connection)
                self._connection.execute(f"PRAGMA user_version = {self._kind.schema}")
        if copy:
            self._connection.execute("PRAGMA query_only = ON")  # what is written to a copy would be lost

    def _check(self, tables: str) -> None:
        """Raise `ValueError` unless the file has these tables, nothing else, and is whole."""
        self._check_tables(tables)
        (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise ValueError(found.splitlines()[-1])

    def _check_tables(self, tables: str) -> None:
        """Raise `ValueError` unless the file has our tables and nothing else: a view or a trigger runs when it is used.

        Before anything else is asked, for any other question may run it.
        """
        query = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name LIMIT 100"
        with closing(sqlite3.connect(":memory:")) as database:
            database.executescript(tables)
            wanted = database.execute(query).fetchall()
        found = self.rows(query)
        if found != wanted:
            if missing := [
                name for kind, name, *_ in wanted if kind == "table" and name not in {row[1] for row in found}
            ]:
                raise ValueError(f"no such table: {missing[0]}")
            other = next((row for row in found if row not in wanted), ("table", "twice"))
            raise ValueError(f"the {other[0]} {shown(other[1])}, which is not one of its own")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of the block or nothing; other writers wait."""
        self._start_clock()
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._start_clock()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # after a full disk SQLite itself has rolled back
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what goes wrong with the file into `StorageError`, and what is wrong in it into `BadInput`."""
        try:
            yield
        except _DAMAGE as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary one of an extended code
            found = shortened(" ".join(str(error).split()), 300)
            if remedy := _amiss(self._kind.field).get(code):
                raise StorageError(f"{self.path} cannot be read or written: {found}; {remedy}") from None
            kind = self._kind
            raise BadInput(
                f"{self.path} must be a {kind.name} that resnas wrote, found: {found}; {kind.leave}"
            ) from None


def _amiss(field: str) -> dict[int, str]:
    """Return what to do about errors that are not the file's."""
    return {
        sqlite3.SQLITE_BUSY: "another process keeps it locked; wait until it has ended",
        sqlite3.SQLITE_FULL: f"free some space, or choose another `{field}`",
        sqlite3.SQLITE_READONLY: f"allow writing, or choose another `{field}`",
        sqlite3.SQLITE_CANTOPEN: f"choose another `{field}`",
        sqlite3.SQLITE_IOERR: f"check its disk, or choose another `{field}`",
    }


def _create(path: Path, kind: Format) -> None:
    """Make a file with empty tables, which appears whole or not at all, and never in another file's place."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(
            f"{kind.tables} PRAGMA application_id = {kind.application}; PRAGMA user_version = {kind.schema};"
        )
        content = database.serialize()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with suppress(Taken), atomic_file(path, replace=False) as partial:  # taken: another process was faster
            partial.write_bytes(content)
    except (BadInput, StorageError) as error:
        raise (error.__cause__ if isinstance(error.__cause__, OSError) else error) from None  # which field it is


def _check_header(path: Path, kind: Format) -> int:
    """Return a file's schema. Raise `BadInput` for one that is none of ours, before SQLite could alter it."""
    if not path.is_file():
        raise BadInput(f"{path} must be a file, found something else; choose another `{kind.field}`")
    with opened(path, MOST_BYTES) as file:
        header = file.read(_HEADER)
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        found = "another file" if header else "an empty one"
        raise BadInput(f"{path} must be a {kind.name} that resnas wrote, found {found}; {kind.leave}")
    schema, application = (int.from_bytes(header[at], signed=True) for at in (_SCHEMA_AT, _APPLICATION_AT))
    if application != kind.application or schema < 1:
        raise BadInput(f"{path} must be a {kind.name} that resnas wrote, found another database; {kind.leave}")
    if schema > kind.schema:
        raise BadInput(
            f"{path} must have schema {kind.schema} or less, found {schema}; "
            f"use a newer resnas or another `{kind.field}`"
        )
    return schema
