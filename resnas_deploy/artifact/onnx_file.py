"""A bare ONNX file of anybody's, measured beside ours: a network of which no more is known than its graph tells.

It has no manifest: how images are prepared for it, what its classes are, and whose weights it has, nobody can tell. It
has no PyTorch module either. Runners get a copy of its graph, in the folder for temporary files and without a name
there, with all weights inside and the ends that they use; `onnx_ends` tells what differs.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.arch.inputs import FLOAT32
from resnas_deploy.artifact.artifact import MODEL
from resnas_deploy.artifact.onnx_told import Ends, Facts
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput
from resnas_deploy.files.held import Held
from resnas_deploy.files.workplace import scratch_errors
from resnas_deploy.system import here

if TYPE_CHECKING:
    import torch

SUFFIX = ".onnx"
UNKNOWN = (
    "preprocessing: what its images must be normalised to",
    "classes: what each logit stands for",
    "weights: whose they are, and whether they are trained",
)


@dataclass(frozen=True)
class OnnxFile:
    """A bare ONNX file that is open. It is a `Network`, which runners open."""

    path: Path
    digest: str  # sha256 of the file, or where weights lie beside it, of the hashes of all
    bytes: int  # of the file itself
    beside: tuple[tuple[str, int], ...]  # names and sizes of the files beside it that have its weights
    ends: Ends
    facts: Facts
    producer: str  # the program that wrote it, as the file says
    held: Held = field(default_factory=Held, compare=False, repr=False)

    @property
    def model(self) -> Path:
        """What leads to the graph as runners take it: of input `images` and output `logits`, both float32."""
        found = self.held.path(MODEL)
        if found is None:
            raise BadInput(f"{self.path} must be open to be read, found it closed; open it again")
        return found

    @property
    def source(self) -> str:
        """The file, as it was given."""
        return str(self.path)

    @property
    def name(self) -> str:
        """The file's name, with its folder's where it is called as an artifact's graph is."""
        return f"{self.path.parent.name}/{self.path.name}".lstrip("/") if self.path.name == MODEL else self.path.name

    @property
    def label(self) -> str:
        """What it is, for tables."""
        return f"{self.name} {self.precision} {self.image_size} (weights unknown)"

    @property
    def precision(self) -> str:
        """The graph's, by the type of most of its weights; int8 or fp8 where it quantises activations."""
        return self.facts.precision

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.ends.image_size

    @property
    def input(self) -> str:
        """What the graph takes."""
        return FLOAT32.name

    @property
    def for_runner(self) -> str:
        """No runner in particular; one that does not know an operator says so itself."""
        return ""

    @property
    def batch(self) -> BatchRange:
        """The batch sizes that the graph says it takes; whether it does, running it tells."""
        return self.ends.batch

    @property
    def arch(self) -> None:
        """None: it is none of ours."""
        return None

    def module(self) -> torch.nn.Module:
        """Raise `BadInput`: there is none."""
        raise BadInput(f"{self.path} must have a PyTorch module for that, found a bare ONNX file, which has none")


def is_onnx_file(path: Path) -> bool:
    """Whether a path has the name of an ONNX file."""
    return path.suffix.lower() == SUFFIX and not path.is_dir()


def open_onnx(path: str | Path | OnnxFile) -> OnnxFile:
    """Open an ONNX file of anybody's. Raise `BadInput`, which names it, unless it is one from images to logits."""
    if isinstance(path, OnnxFile):
        return path
    path = Path(path)
    from resnas_deploy.artifact.onnx_ends import find_ends, put_ours, with_shapes  # imports onnx
    from resnas_deploy.artifact.onnx_facts import facts_of
    from resnas_deploy.artifact.onnx_reading import read_model

    read = read_model(path)
    try:
        ends = find_ends(with_shapes(read.model))
        facts = facts_of(read.model, ends)
        producer = f"{read.model.producer_name} {read.model.producer_version}".strip()
        put_ours(read.model, ends)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    held = _kept(read.model.SerializeToString())
    return OnnxFile(path, read.digest, read.bytes, read.beside, ends, facts, producer, held)


def _kept(content: bytes) -> Held:
    """Return a file of that content, which has no name and is gone when nobody holds it."""
    with scratch_errors() as parent:
        if not here.HOLDS:  # then it has a name as long as it is held
            with tempfile.NamedTemporaryFile(dir=parent, prefix="resnas-graph-", suffix=".onnx", delete=False) as named:
                held = Held(copies={MODEL: Path(named.name)})  # removed too where it cannot be written
                named.write(content)
            return held
        with tempfile.TemporaryFile(dir=parent) as file:
            file.write(content)
            file.flush()
            return Held({MODEL: os.dup(file.fileno())})
