"""Where the latency model's measurements are kept: an SQLite file that several processes may use at once.

Every group of networks is written in one transaction as soon as it is measured, so a profiling that is killed goes on
where it stopped. What was measured under one key is never seen under another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files import records as record
from resnas_deploy.files.atomic import unwritable
from resnas_deploy.files.locks import Lock, ask
from resnas_deploy.files.reading import parse_json
from resnas_deploy.files.sqlite import Database, Format
from resnas_deploy.files.user_folders import data_folder
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.report import LONGEST, SHORTEST

UNDISTURBED = 10  # per cent of the runs, which nothing else made longer
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
FORMAT = Format("latency store", "store", application=0x72736E73, schema=1, tables=_TABLES)  # "rsns"


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


class LatencyStore(Database):
    """A context manager. Raises `BadInput` for a file that is damaged, foreign, or of a newer resnas, and leaves it."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        super().__init__(path, FORMAT, create=create)

    def add(self, setting: Setting, space: str, purpose: str, repeat: int, measured: Iterable[Sampled]) -> None:
        """Keep networks, all or none of them. One that is there already stays as it was.

        `repeat` tells one whole measurement of the same networks from another.
        """
        rows = [
            (
                space,
                purpose,
                repeat,
                item.arch.fingerprint,
                json.dumps(item.arch.to_json()),
                json.dumps(item.samples_s),
                json.dumps(item.anchor_s),
            )
            for item in measured
        ]
        with self.errors(), self.transaction():
            self.insert("INSERT OR IGNORE INTO setting (content) VALUES (?)", [(_content(setting),)])
            ((number,),) = self.rows("SELECT id FROM setting WHERE content = ?", (_content(setting),))
            self.insert(
                "INSERT OR IGNORE INTO network VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(number, *row) for row in rows]
            )

    def networks(self, setting: Setting, space: str, purpose: str, repeat: int = 0) -> list[Sampled]:
        """Return what was measured, in the order in which it was kept."""
        with self.errors():
            rows = self.rows(
                "SELECT arch, samples_s, anchor_s FROM network JOIN setting ON setting.id = network.setting "
                "WHERE content = ? AND space = ? AND purpose = ? AND opening = ? ORDER BY network.rowid",
                (_content(setting), space, purpose, repeat),
            )
            return [_sampled(*row) for row in rows]

    def settings(self) -> list[tuple[Setting, str, int]]:
        """List what was profiled: each setting and space, and the number of networks."""
        with self.errors():
            rows = self.rows(
                "SELECT content, space, COUNT(*) FROM network JOIN setting ON setting.id = network.setting "
                "WHERE purpose = 'profile' GROUP BY content, space ORDER BY content, space"
            )
            return [
                (record.from_json(Setting, parse_json(content, "a setting"), "a setting"), str(space), count)
                for content, space, count in rows
            ]

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Hold the right to measure for this store. Raise `BadInput` where another process has it.

        Two that measure at once would take the cores from each other, and both be wrong.
        """
        path = self.path.resolve()
        try:  # never cut short: the name may be that of somebody's file
            lock = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
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


def _content(setting: Setting) -> str:
    return json.dumps(asdict(setting), sort_keys=True)


def _sampled(arch: str, samples: str, anchor: str) -> Sampled:
    found = Sampled(ArchSpec.from_json(parse_json(arch, "an architecture")), _times(samples), _times(anchor))
    if len(found.samples_s) != len(found.anchor_s):
        raise ValueError(f"{len(found.samples_s)} times beside {len(found.anchor_s)} of the anchor")
    return found


def _times(text: str) -> tuple[float, ...]:
    found = parse_json(text, "times")
    numbers = found if isinstance(found, list) else []
    if not numbers or not all(type(value) in (int, float) and SHORTEST <= value <= LONGEST for value in numbers):
        raise ValueError(f"no times: {shown(text)}")
    return tuple(map(float, numbers))
