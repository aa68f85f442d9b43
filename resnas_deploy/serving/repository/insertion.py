"""Puts models into a Triton model repository: all that belong together, or none, and never half of one.

Triton takes every folder in a repository for a model, whatever its name, so a new model is written beside the
repository and moved in whole; a new version is written in a hidden folder of its model, which Triton passes over. All
of them are written first, then moved in one after the other; what had been moved is taken away again after an error.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.artifact.manifest import MAX_BYTES, Manifest
from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files.atomic import atomic_file, atomic_folder, write_errors
from resnas_deploy.files.reading import read_bytes
from resnas_deploy.serving.repository.config import CONFIG, LABELS, ModelConfig, config_text

_Undo = list[Callable[[], None]]


@dataclass(frozen=True)
class InsertedVersion:
    """A version of a model that is in the repository now."""

    folder: Path
    version: int
    is_new: bool  # whether it was added, or was there already and is the same


@dataclass(frozen=True)
class NewModel:
    """A model to write: its configuration, and what fills a version's folder."""

    config: ModelConfig
    fill: Callable[[Path], None]
    has_versions: bool = True  # or stays where it is the same

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.config.name)


@contextmanager
def created_folder(repository: Path) -> Iterator[None]:
    """Make the folder, and the folders above it, which are gone again after an error. Raise `BadInput`."""
    above = [folder for folder in (repository, *repository.parents) if not folder.exists()]
    with write_errors(repository):
        repository.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in above:
            with suppress(OSError):  # somebody else has put something in
                folder.rmdir()
        raise


def insert_models(repository: Path, models: Sequence[NewModel], manifest: Manifest) -> list[InsertedVersion]:
    """Put these models, or the next versions of them, into a repository, in that order. Raise `BadInput`."""
    undo: _Undo = []
    try:
        with ExitStack() as stack:  # which ends what began last first
            inserted = [stack.enter_context(_inserted(repository, new, manifest, undo)) for new in reversed(models)]
            return inserted[::-1]
    except BaseException:
        for step in undo:
            with suppress(OSError):
                step()
        raise


def versions_of(model: Path) -> list[int]:
    """Return the versions of a model that are on disk, ascending, as Triton counts them: folders named by a number."""
    if not model.is_dir():
        return []
    return sorted(int(path.name) for path in model.iterdir() if is_version(path))


def is_version(path: Path) -> bool:
    """Return whether a folder of a model is one of its versions."""
    name = path.name
    return path.is_dir() and name.isascii() and name.isdecimal() and len(name) <= 18 and not name.startswith("0")


@contextmanager
def _inserted(repository: Path, new: NewModel, manifest: Manifest, undo: _Undo) -> Iterator[InsertedVersion]:
    """Write a model, a version, or nothing; it is there when the block has ended well."""
    model = repository / new.name
    if not model.exists():
        with atomic_folder(model, lambda _: False, beside=_beside(model)) as partial:
            with _naming(model, partial):
                _write_config(partial, new, manifest, [])
                (partial / "1").mkdir()
                new.fill(partial / "1")
            yield InsertedVersion(model / "1", 1, is_new=True)
        undo.append(lambda: _take_away(model, _beside(model)))
    elif new.has_versions:
        version = max(versions_of(model), default=0) + 1
        with atomic_folder(model / str(version), lambda _: False) as partial:
            with _naming(model / str(version), partial):
                new.fill(partial)
            yield InsertedVersion(model / str(version), version, is_new=True)
        undo.append(lambda: _take_away(model / str(version), model / str(version)))
        _write_config(model, new, manifest, undo)
    else:
        yield InsertedVersion(model / "1", 1, is_new=False)
        _write_config(model, new, manifest, undo)  # the largest batch may have changed


def _beside(model: Path) -> Path:
    """Return what a new model is written beside: the repository, where Triton would take it for a model.

    Where the repository is a disk of its own, or nothing can be written beside it, it must be within.
    """
    repository = model.parent
    is_possible = repository.stat().st_dev == repository.parent.stat().st_dev
    return repository if is_possible and os.access(repository.parent, os.W_OK | os.X_OK) else model


@contextmanager
def _naming(folder: Path, partial: Path) -> Iterator[None]:
    """Have errors name the folder that was asked for, not the hidden folder that becomes it."""
    try:
        with write_errors(folder):
            yield
    except (BadInput, StorageError) as error:
        raise type(error)(str(error).replace(str(partial), str(folder))) from error


def _take_away(folder: Path, beside: Path) -> None:
    """Remove a model or a version whole, as it came."""
    gone = beside.with_name(f".{folder.name}.{secrets.token_hex(8)}.partial")
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _write_config(model: Path, new: NewModel, manifest: Manifest, undo: _Undo) -> None:
    if new.config.output[0].label_filename:
        _write(model / LABELS, "".join(f"{name}\n" for name in manifest.class_names or ()).encode(), undo)
    _write(model / CONFIG, config_text(new.config).encode(), undo)


def _write(path: Path, content: bytes, undo: _Undo) -> None:
    """Write a file whole, and only if that changes it: a server that polls would load the model again."""
    before = read_bytes(path, MAX_BYTES) if path.exists() else None
    if before == content:
        return
    with atomic_file(path) as partial:
        partial.write_bytes(content)
    if before is not None:
        undo.append(lambda: _write(path, before, []))
