"""What models of a Triton model repository hold: the next version of a network, and the models around it.

A version's folder keeps the artifact's manifest, and for an engine its report, which `check` compares everything with.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from resnas_deploy.artifact.artifact import MANIFEST, MODEL, Artifact
from resnas_deploy.artifact.manifest import MAX_BYTES, Manifest
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.store import Engine, read_report
from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import write_errors
from resnas_deploy.files.locks import holding
from resnas_deploy.files.reading import read_bytes
from resnas_deploy.serving.repository.config import (
    PLAN,
    ensemble_config,
    network_config,
    preprocess_config,
)
from resnas_deploy.serving.repository.insertion import NewModel, WrittenVersion, made, place, versions_of
from resnas_deploy.serving.repository.settings import ModelSettings, engine_batch, max_batch

MODEL_PY, REPORT, PREPROCESSING = "model.py", "engine.json", "preprocessing.json"
DECODING = (
    "__init__.py",
    "errors.py",
    "images/__init__.py",
    "images/decode.py",
    "images/preprocessing.py",
)  # modules of this package that preprocessing needs
_INTERFACE = "another image size, other classes or other names of them"


def add_model(
    repository: Path,
    artifact: Artifact,
    serving: ModelSettings,
    engine: Engine | None = None,
    *,
    ensemble: bool = False,
) -> list[WrittenVersion]:
    """Add an artifact, or an engine of it, as the next version of a model; with `ensemble` the models around it too.

    No version is ever overwritten. Raises `BadInput` where a model of that name takes or gives something else, and
    where the repository cannot be written; then it is as it was before.
    """
    repository, manifest = repository.resolve(), artifact.manifest
    check_servable(artifact, serving, engine)
    with made(repository), holding(repository):
        model = repository / serving.name
        earlier = [model / str(version) for version in versions_of(model)]
        if any(_interface(read_manifest(version)) != _interface(manifest) for version in earlier):
            raise BadInput(
                f"every version of a model must take and give the same, found {_INTERFACE} in {model}; "
                "give this one another --name"
            )
        batches = [_batch(manifest, engine.made_of if engine else None), *map(batch_of, earlier)]
        fitting = replace(serving, max_batch=min(max_batch(batch, serving) for batch in batches))
        network = NewModel(
            network_config(manifest, fitting), lambda folder: _fill_network(folder, artifact, fitting, engine)
        )
        if not ensemble:
            return place(repository, [network], manifest)
        before = NewModel(
            preprocess_config(manifest, fitting), lambda folder: _fill_preprocess(folder, manifest), has_versions=False
        )
        after = NewModel(ensemble_config(manifest, fitting), lambda _: None, has_versions=False)
        kept = repository / before.name / "1" / PREPROCESSING
        if kept.exists() and kept.read_bytes() != _preprocessing(manifest):
            raise BadInput(
                f"{repository / before.name} must prepare images as this artifact wants them, found another way; "
                "give this one another --name"
            )
        return place(repository, [before, network, after], manifest)


def check_servable(artifact: Artifact, serving: ModelSettings, engine: Engine | None) -> None:
    """Raise `BadInput` where Triton could not serve that artifact or engine in that way."""
    if (serving.backend == "tensorrt") != (engine is not None):
        raise BadInput(
            "the backend tensorrt must be given an engine, and no other takes one; found "
            f"{serving.backend} with {'an' if engine else 'no'} engine"
        )
    if engine and engine.made_of["target"] != "tensorrt":
        raise BadInput(
            f"Triton must be given an engine of the target tensorrt, found one of {engine.made_of['target']}, which "
            "its TensorRT backend cannot load; serve the graph: --backend onnxruntime"
        )
    max_batch(_batch(artifact.manifest, engine.made_of if engine else None), serving)
    if not engine and artifact.precision == "bf16":
        raise BadInput(
            "ONNX Runtime must have kernels for the precision of the graph, found bf16; export it in fp16 or fp32"
        )


def read_manifest(version: Path) -> Manifest:
    """The manifest of the artifact that a version was made of. Raises `BadInput`."""
    path = version / MANIFEST
    try:
        content = read_bytes(path, MAX_BYTES)
    except BadInput as error:
        raise BadInput(
            f"{version} must have the {MANIFEST} of its artifact, as resnas triton export writes it: {error}"
        ) from None
    try:
        return Manifest.from_bytes(content)
    except BadInput as error:
        raise BadInput(f"{version}: {error}") from None


def batch_of(version: Path) -> BatchRange:
    """The batches that a version takes. Raises `BadInput`."""
    report = version / REPORT
    engine = read_report(report, ".engine")["identity"] if report.exists() else None
    return _batch(read_manifest(version), engine)


def _batch(manifest: Manifest, engine: Mapping[str, Any] | None) -> BatchRange:
    return engine_batch(engine) if engine else manifest.batch


def packaged(name: str) -> bytes:
    """A file of `serving/models`, which a repository holds as it is."""
    return (resources.files("resnas_deploy.serving.repository.models") / name).read_bytes()


def decoding(name: str) -> bytes:
    """A file of this package that preprocessing needs; an `__init__` does nothing there."""
    return b"" if name.endswith("__init__.py") else (resources.files("resnas_deploy") / name).read_bytes()


def _interface(manifest: Manifest) -> tuple[object, ...]:
    return manifest.arch.image_size, manifest.arch.classes, manifest.class_names


def _fill_network(folder: Path, artifact: Artifact, serving: ModelSettings, engine: Engine | None) -> None:
    with write_errors(folder):
        (folder / MANIFEST).write_bytes(artifact.manifest.to_bytes())
        if engine:
            shutil.copyfile(engine.file, folder / PLAN)
            (folder / REPORT).write_bytes(engine.report_bytes())
            return
        shutil.copyfile(artifact.graph, folder / MODEL)
        if serving.backend == "python":
            (folder / MODEL_PY).write_bytes(packaged("network.py"))


def _fill_preprocess(folder: Path, manifest: Manifest) -> None:
    with write_errors(folder):
        (folder / MODEL_PY).write_bytes(packaged("preprocess.py"))
        (folder / PREPROCESSING).write_bytes(_preprocessing(manifest))
        modules = folder / "resnas_deploy"
        for name in DECODING:
            (modules / name).parent.mkdir(exist_ok=True)
            (modules / name).write_bytes(decoding(name))


def _preprocessing(manifest: Manifest) -> bytes:
    return (json.dumps(manifest.preprocessing.to_json(), indent=1) + "\n").encode()
