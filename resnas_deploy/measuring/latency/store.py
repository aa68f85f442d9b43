"""Where the latency model's measurements are kept: an SQLite file that several processes may use at once.

Every group of networks is written in one transaction as soon as it is measured, so a profiling that is killed goes on
where it stopped. What was measured under one key is never seen under another. A space is kept with what was measured of
it, under its fingerprint: two files that are called the same are not mixed either.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files import records as record
from resnas_deploy.files.atomic import unwritable
from resnas_deploy.files.locks import Lock, ask
from resnas_deploy.files.reading import parse_json
from resnas_deploy.files.sqlite import Database, EarlierSchema, Format
from resnas_deploy.files.user_folders import data_folder
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.report import LONGEST, SHORTEST
from resnas_deploy.system import here
from resnas_deploy.weights.space_files import packaged_spaces

Item = TypeVar("Item", Setting, SearchSpace)

UNDISTURBED = 10  # per cent of the runs, which nothing else made longer
_SPACE = "CREATE TABLE space (fingerprint TEXT NOT NULL PRIMARY KEY, content TEXT NOT NULL)"
_MEASURED = """
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


def _with_spaces(connection: sqlite3.Connection) -> None:
    """Upgrade schema 1, in which a space was one of the package's, by name."""
    connection.execute(_SPACE)
    for space in packaged_spaces().values():
        change = "UPDATE network SET space = ? WHERE space = ?"
        if connection.execute(change, (space.fingerprint, space.name)).rowcount:
            connection.execute("INSERT INTO space VALUES (?, ?)", (space.fingerprint, _content(space)))


FORMAT = Format(
    "latency store",
    "store",
    application=0x72736E73,  # "rsns"
    schema=2,
    tables=f"{_SPACE};{_MEASURED}",
    earlier=(EarlierSchema(1, _MEASURED, _with_spaces),),
)


@dataclass(frozen=True)
class Sampled:
    """A network that was measured, interleaved with the anchor."""

    arch: ArchSpec
    samples_s: tuple[float, ...]  # seconds, by round, at the pace that the machine had in the middle of its rounds
    anchor_s: tuple[float, ...]  # the same of the anchor, in the same rounds

    @property
    def ratio(self) -> float:
        """Return the time over the anchor's, of each its lowest decile: what disturbs a run never makes it shorter."""
        return float(np.percentile(self.samples_s, UNDISTURBED) / np.percentile(self.anchor_s, UNDISTURBED))


@dataclass(frozen=True)
class Kept:
    """Networks that were measured under one key."""

    setting: Setting
    space: SearchSpace
    purpose: str  # profile, or check: networks that a profile has not seen
    repeat: int  # tells one whole measurement of the same networks from another
    networks: tuple[Sampled, ...]


@dataclass(frozen=True)
class Profiled:
    """A space that was profiled in a setting, and how many of its networks."""

    setting: Setting
    space: SearchSpace
    networks: int
    latest: int = 0  # the larger, the later the last of them was kept

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "setting": record.to_json(self.setting),
            "space": self.space.name,
            "space_fingerprint": self.space.fingerprint,
            "image_size": self.space.image_size,
            "networks": self.networks,
        }


class LatencyStore(Database):
    """A context manager. Raises `BadInput` for a file that is damaged, foreign, or of a newer resnas, and leaves it."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        super().__init__(path, FORMAT, create=create)

    def add(self, setting: Setting, space: SearchSpace, purpose: str, repeat: int, measured: Iterable[Sampled]) -> None:
        """Keep networks, all or none of them. One that is there already stays as it was."""
        self.add_all([Kept(setting, space, purpose, repeat, tuple(measured))])

    def add_all(self, several: Sequence[Kept]) -> int:
        """Keep networks under several keys, all or none of them, and return how many were not there yet."""
        written = [(item, [_row(network) for network in item.networks]) for item in several]
        with self.errors(), self.transaction():
            ((before,),) = self.rows("SELECT COUNT(*) FROM network")
            for item, rows in written:
                content, fingerprint = _content(item.setting), item.space.fingerprint
                self.insert("INSERT OR IGNORE INTO setting (content) VALUES (?)", [(content,)])
                self.insert("INSERT OR IGNORE INTO space VALUES (?, ?)", [(fingerprint, _content(item.space))])
                ((number,),) = self.rows("SELECT id FROM setting WHERE content = ?", (content,))
                self.insert(
                    "INSERT OR IGNORE INTO network VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    [(number, fingerprint, item.purpose, item.repeat, *row) for row in rows],
                )
            ((after,),) = self.rows("SELECT COUNT(*) FROM network")
        return int(after - before)

    def networks(self, setting: Setting, space: SearchSpace, purpose: str, repeat: int = 0) -> list[Sampled]:
        """Return what was measured, in the order in which it was kept."""
        with self.errors():
            rows = self.rows(
                "SELECT arch, samples_s, anchor_s FROM network JOIN setting ON setting.id = network.setting "
                "WHERE content = ? AND space = ? AND purpose = ? AND opening = ? ORDER BY network.rowid",
                (_content(setting), space.fingerprint, purpose, repeat),
            )
            return [_sampled(*row) for row in rows]

    def profiled(self) -> list[Profiled]:
        """List what was profiled."""
        with self.errors():
            rows = self.rows(
                "SELECT setting.content, space.content, COUNT(*), MAX(network.rowid) FROM network "
                "JOIN setting ON setting.id = network.setting JOIN space ON space.fingerprint = network.space "
                "WHERE purpose = 'profile' GROUP BY setting.id, space.fingerprint "
                "ORDER BY setting.content, space.content"
            )
            return [
                Profiled(_read(Setting, setting), _read(SearchSpace, space), int(count), int(latest))
                for setting, space, count, latest in rows
            ]

    def everything(self) -> list[Kept]:
        """Return all that was measured, in the order in which it was kept."""
        with self.errors():
            keys = self.rows(
                "SELECT setting.content, space.content, purpose, opening FROM network "
                "JOIN setting ON setting.id = network.setting JOIN space ON space.fingerprint = network.space "
                "GROUP BY setting.id, space.fingerprint, purpose, opening ORDER BY MIN(network.rowid)"
            )
            found = [
                (_read(Setting, setting), _read(SearchSpace, space), str(purpose), int(repeat))
                for setting, space, purpose, repeat in keys
            ]
        return [Kept(*key, tuple(self.networks(*key))) for key in found]

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Hold the right to measure for this store. Raise `BadInput` where another process has it.

        Two that measure at once would take the cores from each other, and both be wrong.
        """
        path = self.path.resolve()
        try:  # never cut short: the name may be that of somebody's file
            lock = here.open_locked_file(path.with_name(f"{path.name}.lock"), 0o666)
        except OSError as error:
            raise unwritable(path, error, "choose another `store`") from None
        try:
            if ask(lock) is Lock.TAKEN:
                raise BadInput(
                    f"only one profiling may run at a time, and another one is measuring for {self.path}; "
                    "start again when it has ended"
                )
            self.check_writable()
            yield  # without locks: a second one would be slow, and what is kept still whole
        finally:
            os.close(lock)


def usual_store() -> Path:
    """Return the file of the user's own store. Raise `BadInput` for a user without a home."""
    if (folder := data_folder()) is None:
        raise BadInput(
            "measurements are kept in the user's data folder, found neither a home nor XDG_DATA_HOME; "
            "name a file: `store`"
        )
    return folder / "latency.sqlite"


def check_times(network: Sampled) -> None:
    """Raise `ValueError` for times that cannot be."""
    for times in (network.samples_s, network.anchor_s):
        if not times or not all(SHORTEST <= value <= LONGEST for value in times):
            raise ValueError(f"no times: {shown(list(times))}")
    if len(network.samples_s) != len(network.anchor_s):
        raise ValueError(f"{len(network.samples_s)} times beside {len(network.anchor_s)} of the anchor")


def _content(item: Setting | SearchSpace) -> str:
    return json.dumps(record.to_json(item), sort_keys=True)


def _read(kind: type[Item], content: str) -> Item:
    return record.from_json(kind, parse_json(content, "what was profiled"), "what was profiled")


def _row(network: Sampled) -> tuple[str, ...]:
    content = (network.arch.to_json(), network.samples_s, network.anchor_s)
    return (network.arch.fingerprint, *map(json.dumps, content))


def _sampled(arch: str, samples: str, anchor: str) -> Sampled:
    found = Sampled(ArchSpec.from_json(parse_json(arch, "an architecture")), _times(samples), _times(anchor))
    check_times(found)
    return found


def _times(text: str) -> tuple[float, ...]:
    found = parse_json(text, "times")
    if not isinstance(found, list) or not all(type(value) in (int, float) for value in found):
        raise ValueError(f"no times: {shown(text)}")
    return tuple(map(float, found))
