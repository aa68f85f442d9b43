"""Checkpoints: one safetensors file with the architecture and the weights' history in its metadata."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, first_few, shown
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.reading import check_tensors, opened, parse_json, unreadable
from resnas_deploy.files.records import as_json, from_json, to_json
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.weights.schema import Shape, shape_differences, tensor_shapes
from resnas_deploy.weights.tensors_file import write_tensors

Array = NDArray[np.float32]

SCHEMA = 1
_IMPORT = "a checkpoint of the reference's format (.pth.tar) is converted by `import_checkpoint()`"
MOST_HASHED = 20_000_000_000  # bytes: a sparse file may have more than can be read in a year
_SAID = ("arch", "provenance", "task", "accuracy", "space")  # of a checkpoint, beside its tensors
_CHUNK = 2**16  # values that are drawn and scaled at a time: what stays in a core's cache meanwhile
_KEY = "resnas"  # one metadata key with JSON in it: safetensors keeps no order among several


@dataclass(frozen=True)
class Provenance:
    """Where weights come from. `history` has a sentence for each thing that was done to them, oldest first."""

    trained: bool
    history: tuple[str, ...]

    def then(self, what: str) -> Provenance:
        """Return the same weights after one more step."""
        return replace(self, history=(*self.history, what))

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return to_json(self)


@dataclass(frozen=True)
class Task:
    """What the weights were trained for."""

    class_names: tuple[str, ...]  # by number
    preprocessing: Preprocessing
    held_out: int = 0  # images of each class of the training split that training did not see

    def __post_init__(self) -> None:
        if self.held_out < 0:
            raise BadInput(f"held_out must be a number from 0, found {self.held_out}")


@dataclass(frozen=True)
class MeasuredAccuracy:
    """What training measured of these very weights at its end. Raises `BadInput` for what cannot be."""

    data: str  # its name
    images: int = field(metadata=as_json("pictures"))  # of the validation split
    top1: float  # from 0 to 1

    def __post_init__(self) -> None:
        if self.images < 1 or not 0 <= self.top1 <= 1:
            raise BadInput(
                f"there must be images from 1 and a top1 from 0.0 to 1.0, found {self.images} and {self.top1}"
            )


@dataclass(frozen=True)
class Metadata:
    """What a checkpoint's file says beside its tensors."""

    schema: int
    arch: ArchSpec
    provenance: Provenance
    task: Task | None
    accuracy: MeasuredAccuracy | None  # which a reader of before does without
    space: SearchSpace | None = None  # which a reader of before does without


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights: float32 arrays by the names of `schema.tensor_shapes`, plus `patch_head.*` where kept.

    Raises `BadInput` where a tensor is missing, foreign, of another shape or dtype, NaN or infinite.
    """

    arch: ArchSpec
    tensors: Mapping[str, Array]
    provenance: Provenance
    task: Task | None = None  # where training told it
    accuracy: MeasuredAccuracy | None = None  # where training measured it; what is made of the weights has none
    space: SearchSpace | None = None  # of a supernet: that of its subnets
    checked: InitVar[bool] = False  # whether the values are known to be finite, and need not be looked through

    def __post_init__(self, checked: bool) -> None:
        if self.task and (len(self.task.class_names), self.task.preprocessing.image_size) != (
            self.arch.classes,
            self.arch.image_size,
        ):
            raise BadInput(
                f"the task must be of the architecture's {self.arch.classes} classes and {self.arch.image_size} "
                f"pixels, found {len(self.task.class_names)} and {self.task.preprocessing.image_size}"
            )
        _check_shapes({name: tensor.shape for name, tensor in self.tensors.items()}, self.arch)
        if self.space and self.space.widest().full != self.arch:
            lines = shape_differences(tensor_shapes(self.arch), self.space.widest().full)
            raise BadInput(
                f"a supernet's tensors must be those of the widest subnet of its space, {self.space.name}: "
                f"{lines[0] if lines else 'its heads are others, found of the same size together'}"
            )
        for name, tensor in self.tensors.items():
            if tensor.dtype != np.float32:
                raise BadInput(f"every tensor must be float32, found {name} as {tensor.dtype}")
            if checked:
                continue
            if not np.isfinite(tensor).all():
                raise BadInput(f"every weight must be finite, found NaN or infinity in {name}")
            if name.endswith(".running_var") and (tensor < 0).any():
                raise BadInput(f"a variance must not be negative, found {tensor.min():g} in {name}")

    @property
    def preprocessing(self) -> Preprocessing:
        """How images are made ready: as in training, or where nobody told, as ImageNet's are evaluated."""
        return self.task.preprocessing if self.task else Preprocessing.for_image_size(self.arch.image_size)

    @property
    def digest(self) -> str:
        """sha256 over the names, shapes and values of all tensors, sorted by name; hexadecimal."""
        total = hashlib.sha256()
        for name in sorted(self.tensors):
            tensor = self.tensors[name]
            total.update(f"{name}{tensor.shape}".encode())
            total.update(np.ascontiguousarray(tensor).data)
        return total.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def untrained(arch: ArchSpec, seed: int = 0) -> Checkpoint:
    """Return a checkpoint of random weights, the same for the same seed.

    Weights have variance 1 / fan-in, so that activations keep their size through the depth. Norms, biases, running
    statistics, tokens and positions are random too: every folding rule then changes the numbers that verification sees.
    """
    rng = np.random.default_rng(seed)
    tensors = {name: _values(name, shape, rng) for name, shape in tensor_shapes(arch).items()}
    return Checkpoint(arch, tensors, Provenance(False, (f"untrained: random weights of seed {seed}",)), checked=True)


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal. Raise `BadInput` for a longer one than any that is ours."""
    with opened(path, MOST_HASHED) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(checkpoint: Checkpoint, path: Path, *, replace: bool = True) -> None:
    """Write a checkpoint atomically. The same checkpoint gives the same bytes."""
    with atomic_file(path, replace=replace) as partial:
        write(checkpoint, partial)


def write(checkpoint: Checkpoint, path: Path) -> str:
    """Write a checkpoint to a name that nobody else reads yet. Return the file's sha256, hexadecimal."""
    metadata = Metadata(SCHEMA, **{name: getattr(checkpoint, name) for name in _SAID})
    return write_tensors(checkpoint.tensors, {_KEY: json.dumps(to_json(metadata), sort_keys=True)}, path)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint of ours. Raise `BadInput` for anything else."""
    try:
        if not path.is_file():
            lost = f"a link to {path.readlink()}, where nothing is" if path.is_symlink() else "no file"
            found = "a folder" if path.is_dir() else lost
            raise BadInput(f"{path}: a checkpoint must be a file (.safetensors), found {found}")
    except BadInput:
        raise
    except (OSError, ValueError) as error:  # a name that is too long, or has a null character
        raise unreadable(path, error) from None
    try:
        check_tensors(path)
    except BadInput as error:
        raise BadInput(f"{error}; {_IMPORT}") from None
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = _metadata(file.metadata() or {})
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  no dict
        _check_shapes(shapes, metadata.arch)  # before any is read, which may take gigabytes
        tensors = {name: _tensor(path, name) for name in shapes}
        return Checkpoint(metadata.arch, tensors, metadata.provenance, metadata.task, metadata.accuracy, metadata.space)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path} must be a whole safetensors file, found: {error}; {_IMPORT}") from error
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], arch: ArchSpec) -> None:
    if lines := shape_differences(shapes, arch):
        raise BadInput(f"the weights must be those of the architecture: {first_few(lines)}")


def _tensor(path: Path, name: str) -> Array:
    """Read one tensor. The file is mapped anew for each, for what was read stays in memory as long as it is mapped."""
    with safe_open(path, framework="numpy") as file:
        dtype = file.get_slice(name).get_dtype()
        if dtype != "F32":  # asked before reading: numpy lacks some of the format's types
            raise BadInput(f"every tensor must be float32 (F32), found {shown(name)} as {dtype}")
        tensor: Array = file.get_tensor(name)
    return tensor


def _metadata(metadata: Mapping[str, str]) -> Metadata:
    if _KEY not in metadata:
        raise BadInput(
            "the file must have the architecture in its metadata, found none; make it by `import_checkpoint()`"
        )
    header = parse_json(metadata[_KEY], "the metadata")
    schema = header.get("schema") if isinstance(header, dict) else None
    if not isinstance(header, dict) or type(schema) is not int or schema < 1:
        raise BadInput("the metadata must be JSON with a schema number from 1, found something else")
    if schema > SCHEMA:
        raise BadInput(f"the schema must be at most {SCHEMA}, found {shown(schema, 20)}; use a newer resnas")
    known = {field.name for field in fields(Metadata)}  # what a later resnas may have added is not needed
    return from_json(Metadata, {name: value for name, value in header.items() if name in known}, "the metadata")


def _values(name: str, shape: Shape, rng: np.random.Generator) -> Array:
    centre, deviation = 0.0, 0.1
    if name.endswith("weight") and len(shape) > 1:
        deviation = 1 / math.sqrt(math.prod(shape[1:]))
    elif name.endswith(("weight", "running_var")):
        centre = 1.0
    values = np.empty(shape, np.float32)
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        rng.random(dtype=np.float32, out=part)  # uniform: a third of the time of normal, and as good here
        part -= np.float32(0.5)
        part *= np.float32(deviation * math.sqrt(12))
        part += np.float32(centre)
    return values
