"""Artifacts that are being made: in a hidden folder, which appears under its name when it is whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from resnas_deploy.artifact.artifact import ENGINES, MANIFEST, MODEL, WEIGHTS, Artifact
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files.atomic import atomic_folder, put_in_place, write_errors
from resnas_deploy.files.held import Held, digest
from resnas_deploy.files.reading import open_regular


@contextmanager
def creating(folder: Path, *, force: bool) -> Iterator[Path]:
    """Yield a hidden folder that becomes `folder` when the block ends without an error, and vanishes otherwise.

    With `force` an artifact that is there already is replaced, at once and whole; nothing else ever is, not even what
    comes there in the meantime. Raise `BadInput` where something else is there.
    """
    if folder.name in ("", ".."):
        raise BadInput(f"an artifact must have a name of its own, found the folder {folder}; name another one in it")
    with write_errors(folder):
        if force:
            check_replaceable(folder)
        missing = [parent for parent in folder.parents if not parent.exists()]
    remedy = "choose another name, or give `force` to replace an earlier artifact there"
    try:
        with atomic_folder(folder, _is_replaceable if force else _is_empty, remedy=remedy) as partial:
            yield partial
    except BaseException:
        for parent in missing:  # made on the way; the innermost comes first
            with suppress(OSError):
                parent.rmdir()
        raise


def check_replaceable(folder: Path) -> None:
    """Raise `BadInput` unless nothing is there, an empty folder, or an artifact, whole or not, without other files."""
    if found := _in_the_way(folder):
        raise BadInput(
            f"{folder} exists and must be an artifact to be replaced, found {found}; choose another name or remove it"
        )


def _in_the_way(folder: Path) -> str:
    """Return what keeps something from being replaced, or nothing."""
    if folder.is_symlink():
        return "a symbolic link"
    if not folder.exists() or _is_empty(folder):
        return ""
    # A link leads elsewhere from where the folder has been moved to, when it is asked about once more.
    if not all((folder / name).is_file() or (folder / name).is_symlink() for name in (MANIFEST, MODEL)):
        return f"something without {MANIFEST} and {MODEL}"
    if foreign := sorted({entry.name for entry in folder.iterdir()} - {MODEL, WEIGHTS, MANIFEST, ENGINES}):
        return f"{shown(foreign[0])} in it, which is no part of an artifact"
    return ""


def _is_replaceable(folder: Path) -> bool:
    return not _in_the_way(folder)


def seal(partial: Artifact, hashed: Mapping[str, str] = MappingProxyType({})) -> Artifact:
    """Write the manifest of an artifact that is being made, as the last of its files.

    `hashed` has the sha256 of files that were hashed while they were written; the others are hashed now.
    """
    files = {name: open_regular(partial.folder / name) for name in (MODEL, WEIGHTS)}
    with Held(files) as held:
        digests = {name: hashed.get(name) or digest(descriptor) for name, descriptor in files.items()}
    sealed = replace(partial, manifest=replace(partial.manifest, files=digests), held=held)
    (partial.folder / MANIFEST).write_bytes(sealed.manifest.to_bytes())
    return sealed


def set_aside(partial: Path, folder: Path) -> None:
    """Move an artifact that is being made to another name for good; an artifact there before is removed.

    Raise `BadInput` where something else is there.
    """
    check_replaceable(folder)
    put_in_place(partial, folder, _is_replaceable, "choose another name or remove it")


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
