"""Export: from weights to a verified artifact on disk, or to nothing at all."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from resnas_deploy import __version__
from resnas_deploy.artifact import Artifact, creating, seal, set_aside
from resnas_deploy.batch import BatchRange
from resnas_deploy.checkpoint import Checkpoint, write
from resnas_deploy.errors import NotAvailable, VerificationFailed
from resnas_deploy.export.block import SPELLING
from resnas_deploy.export.graph import emit
from resnas_deploy.export.precision import KEPT_IN_FP32, PRECISIONS
from resnas_deploy.manifest import Manifest
from resnas_deploy.preprocessing import Preprocessing
from resnas_deploy.runners.base import RunnerKind

Report = Callable[[str], None]  # told what is being done


@dataclass(frozen=True)
class Request:
    """What to export. `verify_on` is the runner that verifies, or None for an artifact marked as unverified."""

    name: str  # of the architecture, for people
    precision: str
    batch: BatchRange
    class_names: tuple[str, ...] | None
    out: Path
    force: bool  # replace an artifact that is there
    verify_on: RunnerKind | None
    keep_failed: bool  # where verification fails, keep the graph under another name
    threads: int


def export(checkpoint: Checkpoint, request: Request, report: Report) -> Artifact:
    """Emit, verify and write an artifact. Raises `VerificationFailed` and leaves nothing where the graph is wrong."""
    if request.verify_on:  # before any work is done
        check_verifiable(request.verify_on, request.precision)
    with creating(request.out, force=request.force) as folder:
        artifact = Artifact(folder, _manifest(checkpoint, request))
        report("emitting the graph")
        emit(checkpoint, PRECISIONS[request.precision], request.batch).write(artifact.model)
        report("writing the weights")
        write(checkpoint, artifact.weights)
        if request.verify_on:
            try:
                artifact = _verified(artifact, checkpoint, request.verify_on, request.threads, report)
            except VerificationFailed:
                if request.keep_failed:
                    seal(artifact)
                    set_aside(folder, failed_name(request.out))
                raise
        report("hashing the files")
        manifest = seal(artifact).manifest
        report("flushing to disk")
    return Artifact(request.out, manifest)


def failed_name(out: Path) -> Path:
    """Where `keep_failed` keeps an artifact whose graph is wrong."""
    return out.with_name(f"{out.name}.failed")


def check_verifiable(kind: RunnerKind, precision: str) -> None:
    """Raise `NotAvailable` or `BadInput` where a graph of that precision cannot be verified on that runner here."""
    if importlib.util.find_spec("torch") is None:
        raise NotAvailable(
            "verification compares the graph with the PyTorch module, and the package torch is not installed "
            "(resnas export --unverified does without, and says so in the manifest)",
            "pip install torch",
        )
    kind.check(precision)


def _verified(artifact: Artifact, checkpoint: Checkpoint, kind: RunnerKind, threads: int, report: Report) -> Artifact:
    from resnas_deploy.export.verify import verify  # imports torch

    verification = verify(artifact, checkpoint, kind, threads, report)
    return replace(artifact, manifest=replace(artifact.manifest, verification=verification))


def _manifest(checkpoint: Checkpoint, request: Request) -> Manifest:
    return Manifest(
        name=request.name,
        arch=checkpoint.arch,
        precision=request.precision,
        batch=request.batch,
        preprocessing=Preprocessing.for_image_size(checkpoint.arch.image_size),
        class_names=request.class_names,
        provenance=checkpoint.provenance,
        weights_sha256=checkpoint.digest,
        spelling=SPELLING,
        kept_in_fp32=KEPT_IN_FP32 if request.precision != "fp32" else (),
        tools={"resnas": __version__, "onnx": version("onnx"), "numpy": version("numpy")},
        files={},
        verification=None,
    )
