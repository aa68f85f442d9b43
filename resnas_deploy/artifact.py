"""An artifact: a folder with `model.onnx`, the float32 weights that it was made from, and `manifest.json`; engines too.

The weights are kept so that the graph can be verified again anywhere, and run by PyTorch.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.arch import ArchSpec
from resnas_deploy.atomic import atomic_folder, write_errors
from resnas_deploy.batch import BatchRange
from resnas_deploy.checkpoint import Checkpoint, file_digest, load
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.manifest import MAX_BYTES, Manifest
from resnas_deploy.reading import read_bytes

if TYPE_CHECKING:
    import torch

MODEL, WEIGHTS, MANIFEST, ENGINES = "model.onnx", "weights.safetensors", "manifest.json", "engines"
INPUT, OUTPUT = "images", "logits"  # of the graph


@dataclass(frozen=True)
class Artifact:
    """An artifact on disk. It is a `Network`, which runners open."""

    folder: Path
    manifest: Manifest

    @property
    def model(self) -> Path:
        """The ONNX graph."""
        return self.folder / MODEL

    @property
    def weights(self) -> Path:
        """The checkpoint: float32, as it was before folding."""
        return self.folder / WEIGHTS

    @property
    def source(self) -> str:
        """The folder, as it was given."""
        return str(self.folder)

    @property
    def label(self) -> str:
        """What it is, for tables."""
        return self.manifest.label

    @property
    def digest(self) -> str:
        """The sha256 of the graph."""
        return self.manifest.files[MODEL]

    @property
    def precision(self) -> str:
        """The graph's: `fp32`, `fp16` or `bf16`."""
        return self.manifest.precision

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.manifest.arch.image_size

    @property
    def batch(self) -> BatchRange:
        """The batch sizes that the graph takes."""
        return self.manifest.batch

    @property
    def arch(self) -> ArchSpec:
        """The architecture."""
        return self.manifest.arch

    def module(self) -> torch.nn.Module:
        """The PyTorch module with the artifact's own weights, float32, in evaluation mode."""
        from resnas_deploy.model import build_model

        return build_model(self.checkpoint())

    def checkpoint(self) -> Checkpoint:
        """The weights. Raises `BadInput` where they are of another network than the manifest says."""
        found = load(self.weights)
        if found.arch != self.arch:
            raise BadInput(
                f"{self.weights} must be of the network in {MANIFEST}, found {found.arch.fingerprint} instead of "
                f"{self.arch.fingerprint}; export the artifact again"
            )
        return found


def open_artifact(folder: Path) -> Artifact:
    """Open an artifact after comparing every file with its hash. Raises `BadInput` for anything that is not whole."""
    try:
        content = _read_manifest(folder)
        manifest = Manifest.from_bytes(content)
        for name in (MODEL, WEIGHTS):
            if name not in manifest.files:
                raise BadInput(f"manifest.json must list {name}; export the artifact again")
        for name, digest in manifest.files.items():
            file = folder / name
            if file.is_symlink() or not file.is_file():
                raise BadInput(f"{name} is missing (or no plain file); export the artifact again")
            if file_digest(file) != digest:
                raise BadInput(
                    f"{name} differs from the hash in manifest.json: it was changed; export the artifact again"
                )
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read: {error.strerror}") from error
    except BadInput as error:
        raise BadInput(f"{folder}: {error}") from None
    return Artifact(folder, manifest)


@contextmanager
def creating(folder: Path, *, force: bool) -> Iterator[Path]:
    """Yield a hidden folder that becomes `folder` when the block ends without an error, and vanishes otherwise.

    With `force` an artifact that is there already is replaced, at once and whole; nothing else ever is. Raises
    `BadInput` where something else is there.
    """
    if folder.name in ("", ".."):
        raise BadInput(f"an artifact must have a name of its own, found the folder {folder}; name another one in it")
    with write_errors(folder):
        if force:
            check_replaceable(folder)
        missing = [parent for parent in folder.parents if not parent.exists()]
    try:
        with atomic_folder(folder, lambda there: force or _is_empty(there)) as partial:
            yield partial
    except BaseException:
        for parent in missing:  # made on the way; the innermost comes first
            with suppress(OSError):
                parent.rmdir()
        raise


def check_replaceable(folder: Path) -> None:
    """Raise `BadInput` unless nothing is there, an empty folder, or an artifact, whole or not, without other files."""
    if folder.is_symlink():
        found = "a symbolic link"
    elif not folder.exists() or _is_empty(folder):
        return
    elif not ((folder / MANIFEST).is_file() and (folder / MODEL).is_file()):
        found = f"something without {MANIFEST} and {MODEL}"
    elif foreign := sorted({entry.name for entry in folder.iterdir()} - {MODEL, WEIGHTS, MANIFEST, ENGINES}):
        found = f"{shown(foreign[0])} in it, which is no part of an artifact"
    else:
        return
    raise BadInput(
        f"{folder} exists and must be an artifact to be replaced, found {found}; choose another name or remove it"
    )


def seal(partial: Artifact) -> Artifact:
    """Hash the files of an artifact that is being made and write its manifest. The manifest comes last."""
    files = {name: file_digest(partial.folder / name) for name in (MODEL, WEIGHTS)}
    sealed = replace(partial, manifest=replace(partial.manifest, files=files))
    written = partial.folder / MANIFEST
    written.write_bytes(sealed.manifest.to_bytes())
    for name in files:  # safetensors lets nobody but the owner read what it writes
        (partial.folder / name).chmod(written.stat().st_mode)
    return sealed


def set_aside(partial: Path, folder: Path) -> None:
    """Move an artifact that is being made to another name for good; an artifact there before is removed."""
    check_replaceable(folder)
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _read_manifest(folder: Path) -> bytes:
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise BadInput(f"an artifact must be a folder with {MANIFEST}, found none; make one by: resnas export")
    return read_bytes(path, MAX_BYTES)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
