"""An artifact: a folder with `model.onnx`, the float32 weights that it was made from, and `manifest.json`; engines too.

The weights are kept so that the graph can be verified again anywhere, and run by PyTorch.
"""

from __future__ import annotations

import glob
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.manifest import MAX_BYTES, Manifest
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput
from resnas_deploy.files.held import Held, digest
from resnas_deploy.files.reading import open_regular
from resnas_deploy.files.renames import REPLACED
from resnas_deploy.processes.aside import Aside
from resnas_deploy.system import here
from resnas_deploy.weights.checkpoint import Checkpoint, load

if TYPE_CHECKING:
    import torch

MODEL, WEIGHTS, MANIFEST, ENGINES = "model.onnx", "weights.safetensors", "manifest.json", "engines"
MOST_GRAPH = 2**31 - 1  # bytes: protobuf's own limit
_ATTEMPTS, _INSTANT_S = 5, 0.05  # of a reader whose artifact is replaced while it reads
LFS_POINTER, _LFS_BYTES = b"version https://git-lfs", 1024  # how a pointer of Git LFS begins, and more than it has


@dataclass(frozen=True)
class Artifact:
    """An artifact on disk. It is a `Network`, which runners open.

    Its files stay open from when they were hashed on: what is read is that, whatever replaces the artifact meanwhile.
    """

    folder: Path
    manifest: Manifest
    held: Held = field(default_factory=Held, compare=False, repr=False)

    @property
    def model(self) -> Path:
        """Return the ONNX graph's name. To read it, take `graph`."""
        return self.folder / MODEL

    @property
    def weights(self) -> Path:
        """The checkpoint's name: float32, as it was before folding. To read it, take `checkpoint()`."""
        return self.folder / WEIGHTS

    def file(self, name: str) -> Path:
        """Return what leads to the file that was hashed as long as this artifact is in use, or else to its name."""
        return self.held.path(name) or self.folder / name

    @property
    def graph(self) -> Path:
        """The ONNX graph that was hashed, to read."""
        return self.file(MODEL)

    def checkpoint(self) -> Checkpoint:
        """Return the weights that were hashed. Raise `BadInput` where they are of another network than the manifest."""
        path = self.file(WEIGHTS)
        try:
            found = load(path)
        except BadInput as error:
            raise BadInput(str(error).replace(str(path), str(self.weights))) from None
        if found.arch != self.arch:
            raise BadInput(
                f"{self.weights} must be of the network in {MANIFEST}, found {found.arch.fingerprint} instead of "
                f"{self.arch.fingerprint}; export the artifact again"
            )
        return found

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
    def input(self) -> str:
        """What the graph takes: `float32`, normalised images, or `uint8`, their levels."""
        return self.manifest.input

    @property
    def for_runner(self) -> str:
        """The one runner that the graph is written for; empty where any may run it."""
        return self.manifest.for_runner

    @property
    def batch(self) -> BatchRange:
        """The batch sizes that the graph takes."""
        return self.manifest.batch

    @property
    def arch(self) -> ArchSpec:
        """The architecture."""
        return self.manifest.arch

    def module(self) -> torch.nn.Module:
        """Return the PyTorch module with the artifact's own weights, float32, in evaluation mode.

        It takes normalised images, whatever the graph takes.
        """
        from resnas_deploy.network.module import build_model

        return build_model(self.checkpoint())


def open_artifact(folder: str | Path | Artifact) -> Artifact:
    """Open an artifact after comparing every file with its hash; one that is open already is returned as it is.

    Raise `BadInput` for anything that is not whole.

    Its files may be links, as hubs, version control and Kubernetes lay them out: the hashes are what counts. Where it
    is replaced while it is read, it is read again.
    """
    if isinstance(folder, Artifact):
        return folder
    folder = Path(folder)
    for attempt in range(1, _ATTEMPTS + 1):
        before = _state(folder)
        try:
            return _opened(folder)
        except BadInput as error:
            if attempt == _ATTEMPTS or not (_state(folder) != before or _is_being_replaced(folder)):
                raise BadInput(f"{folder}: {error}") from None
    raise RuntimeError("an attempt must end in one way or the other")


def _opened(folder: Path) -> Artifact:
    try:
        place = here.Folder(folder)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise BadInput(_no_folder(folder, error)) from None
    files: dict[str, int] = {}
    try:
        with Held(files) as held:
            manifest = Manifest.from_bytes(_read_manifest(place))
            for name in (MODEL, WEIGHTS):
                if name not in manifest.files:
                    raise BadInput(f"manifest.json must list {name}; export the artifact again")
            for name in manifest.files:
                files[name] = _open_listed(name, place)
            if os.fstat(files[MODEL]).st_size > MOST_GRAPH:  # its hash would take long, for nothing
                raise BadInput(f"{MODEL} must have at most {MOST_GRAPH} bytes, found more; export the artifact again")
            with Aside(partial(digest, files[MODEL])) as graph:  # beside the others: hashing lets go of Python
                found = {name: digest(files[name]) for name in files if name != MODEL}
                found[MODEL] = graph.result()
            for name, expected in manifest.files.items():
                if found[name] != expected:
                    raise BadInput(_how_it_differs(name, files[name]))
    except OSError as error:
        raise BadInput(f"{error.filename or 'it'} cannot be read: {error.strerror}") from None
    finally:
        place.close()
    return Artifact(folder, manifest, held)


def _no_folder(folder: Path, error: OSError | ValueError) -> str:
    wanted = f"an artifact must be a folder with {MANIFEST}"
    if isinstance(error, FileNotFoundError):
        if folder.is_symlink():
            return f"{wanted}, found a link to {folder.readlink()}, where nothing is"
        return f"{wanted}, found nothing of that name; make one by `export()`"
    if isinstance(error, NotADirectoryError):
        if folder.suffix.lower() == ".onnx":
            return (
                f"{wanted}, found a bare ONNX file: it tells neither preprocessing nor classes, and has no weights of "
                "its own to run, build or serve; measure it by `bench()`, `compare()` or `gate()`, look at it by "
                "`inspect()`, and hold it against an artifact by `verify()` with `against`"
            )
        if folder.suffix.lower() == ".safetensors":
            return f"{wanted}, found a file; make one of a checkpoint by `export()`"
        return f"{wanted}, found a file"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


def _read_manifest(place: here.Folder) -> bytes:
    try:
        descriptor = open_regular(MANIFEST, place)
    except FileNotFoundError:
        raise BadInput(
            f"an artifact must be a folder with {MANIFEST}, found a folder without; name one that `export()` made"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise BadInput(f"{MANIFEST} must have at most {MAX_BYTES} bytes, found more")
    return content


def _open_listed(name: str, place: here.Folder) -> int:
    try:
        return open_regular(name, place)
    except FileNotFoundError:
        raise BadInput(f"{name} is missing; export the artifact again") from None


def _how_it_differs(name: str, descriptor: int) -> str:
    if here.read_at(descriptor, _LFS_BYTES, 0).startswith(LFS_POINTER):
        return f"{name} is a pointer of Git LFS, not the file itself; fetch that by: git lfs pull"
    return f"{name} differs from the hash in manifest.json: it was changed; export the artifact again"


def _state(folder: Path) -> tuple[object, ...]:
    """Return what another one in its place would change."""
    found: list[object] = []
    for path in (folder, folder / MANIFEST):
        try:
            there = path.stat()
        except (OSError, ValueError) as error:
            found.append(str(error))
        else:
            found.append((there.st_dev, there.st_ino, there.st_mtime_ns if path.name == MANIFEST else 0))
    return tuple(found)


def _is_being_replaced(folder: Path) -> bool:
    """Whether it may be there in an instant: where a file system cannot exchange two folders, one goes first."""
    with suppress(OSError):
        if not folder.exists() and any(folder.parent.glob(f".{glob.escape(folder.name)}.*.partial/{REPLACED}*")):
            time.sleep(_INSTANT_S)
            return True
    return False
