"""Engines in an artifact: `engines/ID.engine`, `.pt2`, `.onnx` or `.xml`, and beside it `ID.json`, its report.

IR of OpenVINO (`.xml`) has its weights beside it, `ID.bin`.

The artifact's manifest does not list them: engines are added and removed after it was sealed. The report has the
engine's own sha256 and its own, as a manifest has.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resnas_deploy.artifact.artifact import ENGINES
from resnas_deploy.engines.options import engine_id
from resnas_deploy.engines.recorded import Recorded
from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files import records as record
from resnas_deploy.files.atomic import atomic_file, lexical
from resnas_deploy.files.held import Held, digest
from resnas_deploy.files.locks import holding
from resnas_deploy.files.outputs import check_writable
from resnas_deploy.files.reading import open_regular, read_bytes
from resnas_deploy.files.sealed import SealedFormat
from resnas_deploy.weights.checkpoint import file_digest

REPORT_SUFFIX = ".json"
SCHEMA = 1
MAX_BYTES = 10_000_000  # of a report: one of 300 layers has about 60,000
_FORMAT = SealedFormat("the report of an engine", "report_sha256", SCHEMA, "build the engine again: `build()`")
CONTEXT = ".onnx"  # an EPContext model
IR, WEIGHTS = ".xml", ".bin"  # of OpenVINO, two files
_PROOFS = {
    ".engine": "layers",
    ".pt2": "parity",
    CONTEXT: "parity",
    IR: "parity",
}  # what was checked of an engine, by its suffix
SUFFIXES = tuple(_PROOFS)


@dataclass(frozen=True)
class Engine:
    """A built engine and its report. Its file stays open from when it was hashed on."""

    path: Path
    report: Mapping[str, Any]
    held: Held = field(default_factory=Held, compare=False, repr=False)

    @property
    def file(self) -> Path:
        """The engine that was hashed, to read, whatever has its name by now."""
        return self.held.path(self.path.name) or self.path

    @property
    def weights(self) -> Path | None:
        """The weights of IR that were hashed, to read; None of an engine that is one file."""
        beside = weights_path(self.path)
        return (self.held.path(beside.name) or beside) if beside else None

    @property
    def digest(self) -> str:
        """The sha256 of all that was hashed."""
        found = [str(self.report[key]) for key in ("engine_sha256", "weights_sha256") if key in self.report]
        return hashlib.sha256("".join(found).encode()).hexdigest()

    def report_bytes(self) -> bytes:
        """Return the report's file."""
        return _FORMAT.dump(self.report)

    @property
    def made_of(self) -> Mapping[str, Any]:
        """Its identity."""
        found: Mapping[str, Any] = self.report["identity"]
        return found


def engine_path(artifact: Path, name: str, suffix: str = SUFFIXES[0]) -> Path:
    """Return where an artifact keeps the engine of that id."""
    return artifact / ENGINES / f"{name}{suffix}"


def failed_log(artifact: Path, what: str) -> Path:
    """Return where the log of a `build` or a `refit` that failed is kept: beside the artifact."""
    folder = lexical(artifact)  # which has a name, other than `.`
    return folder.with_name(f"{folder.name}.{what}.log")


def find(path: Path) -> Engine | None:
    """Return the engine of that path, if it is there and whole."""
    if not path.exists():
        return None
    try:
        found = open_engine(path)
    except BadInput:
        return None  # left over from a build that was killed, or damaged: it is built again
    return found if engine_id(found.made_of) == path.stem else None  # else: another one under this one's name


def open_engine(path: Path) -> Engine:
    """Open an engine after comparing it with its report. Raise `BadInput` for what is not whole or not ours."""
    if path.suffix not in SUFFIXES:
        raise BadInput(f"{path} must be an engine ({', '.join(SUFFIXES)}), as `build()` makes them")
    report = read_engine_report(report_path(path), path.suffix)
    files: dict[str, int] = {}
    try:
        with Held(files) as held:
            for each, what in hashed_files(path):
                file = files[each.name] = open_regular(each)
                # The size first, since hashing takes as long as a file is large.
                if os.fstat(file).st_size != report[f"{what}_bytes"] or digest(file) != report[f"{what}_sha256"]:
                    raise BadInput(
                        f"{each} differs from the hash in its report: it was cut short or changed; "
                        "build it again: `build()`"
                    )
    except FileNotFoundError as error:
        raise BadInput(f"{error.filename or path} is missing; build the engine again: `build()`") from None
    except OSError as error:
        raise BadInput(f"{error.filename or path} cannot be read: {error.strerror}") from None
    return Engine(path, report, held)


def read_engine_report(path: Path, suffix: str) -> Mapping[str, Any]:
    """Return the report of an engine of that suffix. Raise `BadInput` for what is not whole or not ours."""
    if not path.exists():
        raise BadInput(
            f"an engine must have its report {path.name} beside it, found none in {path.parent}; "
            "build it with: `build()`"
        )
    return _parse(read_bytes(path, MAX_BYTES), path, suffix)


@contextmanager
def building(artifact: Path) -> Iterator[None]:
    """Hold the artifact's folder of engines: a second build of the same artifact waits until the first is done.

    Raise `StorageError` where nothing can be written there, before anything is built.
    """
    folder = artifact / ENGINES
    try:
        folder.mkdir(exist_ok=True)
        check_writable(folder / "engine")
    except (OSError, BadInput, StorageError) as error:
        reason = getattr(error, "strerror", None) or getattr(error.__cause__, "strerror", None) or str(error)
        raise StorageError(
            f"engines are kept in their artifact, and {folder} cannot be written: {reason}; "
            f"build in a copy of it: cp -rL {shlex.quote(str(artifact))} COPY"
        ) from None
    with holding(folder):
        yield


def save_engine_report(path: Path, report: Mapping[str, object]) -> Engine:
    """Write the report of the engine that is at `path`: it makes the engine whole, so it comes last."""
    hashes: dict[str, object] = {}
    for each, what in hashed_files(path):
        hashes |= {f"{what}_sha256": file_digest(each), f"{what}_bytes": each.stat().st_size}
    body = {"schema": SCHEMA, **hashes, **report}
    with atomic_file(report_path(path)) as partial:
        partial.write_bytes(_FORMAT.dump(body))
    return open_engine(path)  # the same as whoever finds it later


def _parse(content: bytes, path: Path, suffix: str) -> Mapping[str, Any]:
    proof = _PROOFS[suffix]
    body = _FORMAT.read(content, str(path))
    try:
        found = record.from_json(Recorded, body, "the report")
        if getattr(found, proof) is None:
            raise BadInput(f"the report.{proof} must be there, found none")
        if (found.weights_sha256 is not None) != (suffix == IR):
            raise BadInput("the hash of a file of weights must be in the report of IR alone")
    except BadInput as error:
        raise BadInput(f"{path}: {error}; {_FORMAT.remedy}") from None
    return body


def weights_path(path: Path) -> Path | None:
    """Return where the weights of an engine are that has them beside it; None of one that is a file."""
    return path.with_suffix(WEIGHTS) if path.suffix == IR else None


def hashed_files(path: Path) -> list[tuple[Path, str]]:
    """Return the files of an engine, and what its report calls them."""
    beside = weights_path(path)
    return [(path, "engine"), *([(beside, "weights")] if beside else [])]


def all_bytes(report: Mapping[str, Any]) -> int:
    """Return the size of an engine's files by its report."""
    return int(report["engine_bytes"]) + int(report.get("weights_bytes", 0))


def report_path(path: Path) -> Path:
    """Return where the report of an engine is."""
    return path.with_suffix(REPORT_SUFFIX)
