"""What is evaluated: an artifact, an engine in one, a bare ONNX file or a checkpoint, with all that images need."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.arch.inputs import FLOAT32
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.onnx_file import OnnxFile
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.data.class_match import Classes, check_renaming, classes_of
from resnas_deploy.data.source import preprocessing_for
from resnas_deploy.engines.finding import open_network, runner_of
from resnas_deploy.engines.identity import nearest_batch
from resnas_deploy.errors import BadInput
from resnas_deploy.files.reading import read_json
from resnas_deploy.images.class_names import read_class_names
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.runners.base import EngineFile, Network
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import default_runner, runner_kind
from resnas_deploy.runners.tf32 import check_rounds
from resnas_deploy.weights.checkpoint import Checkpoint, MeasuredAccuracy, load

if TYPE_CHECKING:
    import torch

CHECKPOINT = ".safetensors"
AnySubject = str | Path | Artifact | OnnxFile | Checkpoint  # what `open_evaluated` takes
_TORCH = "torch"  # the runner of weights


@dataclass(frozen=True)
class CheckpointNetwork:
    """A checkpoint as runners of weights take it. It is a `Network` that has no graph."""

    checkpoint: Checkpoint
    source: str
    precision: str = "fp32"
    input: str = FLOAT32.name
    for_runner: str = ""
    batch: BatchRange = field(default=USUAL)

    @property
    def label(self) -> str:
        """What it is, for tables."""
        return f"{self.arch.fingerprint} fp32 {self.image_size}{'' if self.trained else ' (untrained weights)'}"

    @property
    def trained(self) -> bool:
        """Whether its weights say anything."""
        return self.checkpoint.provenance.trained

    @property
    def digest(self) -> str:
        """The sha256 of the weights."""
        return self.checkpoint.digest

    @property
    def weights_digest(self) -> str:
        """The same, for runners that need no graph."""
        return self.digest

    @property
    def arch(self) -> ArchSpec:
        """The architecture."""
        return self.checkpoint.arch

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.arch.image_size

    @property
    def model(self) -> Path:
        """Raise `BadInput`: there is no graph."""
        raise BadInput(f"{self.source} must have a graph for that, found a checkpoint; make one by `export()`")

    def module(self) -> torch.nn.Module:
        """Return the network as a PyTorch module, float32, in evaluation mode."""
        from resnas_deploy.network.module import build_model

        return build_model(self.checkpoint)


@dataclass(frozen=True)
class Subject:
    """A network that can be evaluated, and how."""

    network: Network
    kind: RunnerKind
    engine: EngineFile | None
    preprocessing: Preprocessing
    classes: Classes
    trained: bool | None  # None where nobody can tell
    gives_probabilities: bool = False  # and no logits
    said: MeasuredAccuracy | None = None  # what a checkpoint says of itself

    def batch(self, wanted: int) -> int:
        """Return the batch size that it takes which is nearest to the one that is wanted."""
        return nearest_batch(self.engine, wanted) if self.engine else self.network.batch.nearest(wanted)


def open_evaluated(
    source: AnySubject,
    data: str,
    *,
    runner: str = "",
    engine: str | Path = "",
    device: str = "",
    class_names: Path | None = None,
    preprocessing: Path | None = None,
    tf32: bool = False,
) -> Subject:
    """Open what is to be evaluated on `data`. Raise `BadInput` for what is not whole, or does not go together."""
    if isinstance(source, Checkpoint) or (not isinstance(source, (Artifact, OnnxFile)) and _is_checkpoint(source)):
        return _of_checkpoint(source, data, runner, engine, class_names)
    opened, file = open_network(source, engine)
    kind = runner_of(file, runner) if file else _runner(runner, opened.precision, device)
    if isinstance(opened, OnnxFile):
        kind.check_tf32(tf32, device)
        return _of_onnx(opened, kind, data, class_names, preprocessing)
    manifest = opened.manifest
    if tf32:
        kind.check_tf32(tf32, device)
        check_rounds(manifest.precision, manifest.type)
    count = manifest.arch.classes
    given = read_class_names(class_names, count) if class_names else manifest.class_names
    classes = classes_of(count, None, given)
    return Subject(opened, kind, file, manifest.preprocessing, classes, manifest.provenance.trained)


def _is_checkpoint(source: str | Path) -> bool:
    path = Path(source)
    return path.suffix.lower() == CHECKPOINT and not path.is_dir()


def _runner(name: str, precision: str, device: str) -> RunnerKind:
    return runner_kind(name, "`runner`") if name else default_runner(precision, device=device)


def _of_checkpoint(source: AnySubject, data: str, runner: str, engine: str | Path, class_names: Path | None) -> Subject:
    if engine:
        raise BadInput(f"`engine` must be of an artifact, found the checkpoint {source}; leave it out")
    kind = runner_kind(runner or _TORCH, "`runner`")
    if kind.runs_graph:
        raise BadInput(
            f"`runner` must run weights for a checkpoint, such as {_TORCH}, found {kind.name}; leave it out, or "
            "make an artifact by `export()`"
        )
    weights = source if isinstance(source, Checkpoint) else load(Path(str(source)))
    name = f"checkpoint {weights.digest[:16]}" if isinstance(source, Checkpoint) else str(source)
    task, count = weights.task, weights.arch.classes
    given = read_class_names(class_names, count) if class_names else None
    if given and class_names:
        check_renaming(task, given, class_names)
    preprocessing = task.preprocessing if task else preprocessing_for(data, weights.arch.image_size)
    network = CheckpointNetwork(weights, name)
    return Subject(
        network, kind, None, preprocessing, classes_of(count, task, given), network.trained, said=weights.accuracy
    )


def _of_onnx(
    network: OnnxFile, kind: RunnerKind, data: str, class_names: Path | None, preprocessing: Path | None
) -> Subject:
    count = network.ends.classes
    if count is None:
        raise BadInput(f"{network.source} must say how many classes it tells apart, found logits of an open shape")
    if preprocessing:
        prepared = _read_preprocessing(preprocessing, network)
    else:
        prepared = preprocessing_for(data, network.image_size)
        logging.getLogger(__name__).warning(
            "%s does not say how its images are prepared: they are taken as ImageNet's are, the shorter side scaled to "
            "%d pixels, the centre of %d, with its means and deviations; give `preprocessing` where that is otherwise",
            *(network.source, prepared.resize, prepared.image_size),
        )
    given = read_class_names(class_names, count) if class_names else None
    classes = classes_of(count, None, given)
    return Subject(network, kind, None, prepared, classes, None, gives_probabilities=network.facts.softmax)


def _read_preprocessing(path: Path, network: OnnxFile) -> Preprocessing:
    """Read a JSON file that is a `Preprocessing`, or a manifest with one in it."""
    found = read_json(path)
    if isinstance(found, dict) and "preprocessing" in found:
        found = found["preprocessing"]
    preprocessing = Preprocessing.from_json(found, str(path))
    if preprocessing.image_size != network.image_size:
        raise BadInput(
            f"{path} must be for the {network.image_size} pixels of {network.source}, found {preprocessing.image_size}"
        )
    return preprocessing
