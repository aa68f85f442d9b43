"""What models of a Triton model repository hold: the next version of a network, and the models around it.

A version's folder keeps the artifact's manifest, and for an engine its report, which a check compares everything with.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from resnas_deploy.artifact.artifact import ENGINES, MANIFEST, MODEL, Artifact
from resnas_deploy.artifact.manifest import MAX_BYTES, Manifest
from resnas_deploy.artifact.onnx_file import is_onnx_file
from resnas_deploy.artifact.written_for import OPENVINO
from resnas_deploy.batch import BatchRange
from resnas_deploy.engines.finding import open_source
from resnas_deploy.engines.identity import check_has_weights, first_profile
from resnas_deploy.engines.store import Engine, read_engine_report
from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import lexical, write_errors
from resnas_deploy.files.locks import holding
from resnas_deploy.files.reading import read_bytes
from resnas_deploy.serving.repository.config import (
    PLAN,
    ensemble_config,
    network_config,
    preprocess_config,
)
from resnas_deploy.serving.repository.insertion import (
    InsertedVersion,
    NewModel,
    created_folder,
    insert_models,
    versions_of,
)
from resnas_deploy.serving.repository.settings import ModelSettings

MODEL_PY, REPORT, PREPROCESSING = "model.py", "engine.json", "preprocessing.json"
COPIED_MODULES = (
    "__init__.py",
    "arch/__init__.py",
    "arch/mixer.py",
    "arch/spec.py",
    "errors.py",
    "files/__init__.py",
    "files/records.py",
    "images/__init__.py",
    "images/decode.py",
    "images/preprocessing.py",
    "processes/__init__.py",
    "processes/unwarned.py",
)  # of this package, which preprocessing needs where the package is not; they import nothing else of ours
_INTERFACE = "another input, another image size, other classes or other names of them"


@dataclass(frozen=True)
class ServableModel:
    """An artifact, or an engine of one, and the name that it is to be served by."""

    name: str
    artifact: Artifact
    engine: Engine | None

    @property
    def usual_backend(self) -> str:
        """What runs it where nothing else is asked for."""
        return "tensorrt" if self.engine else "python"


def open_models(sources: Sequence[Path | Artifact], name: str = "") -> list[ServableModel]:
    """Open artifacts, and engines in them, each under a name of its own: that of its folder, where none is given.

    Raise `BadInput` where one is neither, or two have one name.
    """
    models = []
    for source in sources:
        artifact, engine = (source, None) if isinstance(source, Artifact) else _open(source)
        models.append(ServableModel(name or lexical(artifact.folder).name, artifact, engine))
    names = [model.name for model in models]
    if len(set(names)) < len(names):
        twice = next(each for each in names if names.count(each) > 1)
        raise BadInput(
            f"models that are exported together must have names of their own, found {twice!r} more than once; "
            "export them one after the other to make them versions of one model"
        )
    return models


def add_model(
    repository: Path,
    artifact: Artifact,
    settings: ModelSettings,
    engine: Engine | None = None,
    *,
    ensemble: bool = False,
) -> list[InsertedVersion]:
    """Add an artifact, or an engine of it, as the next version of a model; with `ensemble` the models around it too.

    No version is ever overwritten. Raise `BadInput` where a model of that name takes or gives something else, and
    where the repository cannot be written; then it is as it was before.
    """
    repository, manifest = repository.resolve(), artifact.manifest
    check_servable(artifact, settings, engine)
    with created_folder(repository), holding(repository):
        model = repository / settings.name
        earlier = check_interface(manifest, model)
        for version in earlier:
            check_served_for(read_manifest(version), settings, str(version))
        batches = [_batch(manifest, engine.made_of if engine else None), *map(batch_of, earlier)]
        fitting = replace(settings, max_batch=min(map(settings.largest_batch, batches)))
        network = NewModel(
            network_config(manifest, fitting), lambda folder: _fill_network(folder, artifact, fitting, engine)
        )
        if not ensemble:
            return insert_models(repository, [network], manifest)
        before = NewModel(
            preprocess_config(manifest, fitting), lambda folder: _fill_preprocess(folder, manifest), has_versions=False
        )
        after = NewModel(ensemble_config(manifest, fitting), lambda _: None, has_versions=False)
        kept = repository / before.name / "1" / PREPROCESSING
        if kept.exists() and kept.read_bytes() != _preprocessing(manifest):
            raise BadInput(
                f"{repository / before.name} must prepare images as this artifact wants them, found another way; "
                "give this one another `name`"
            )
        return insert_models(repository, [before, network, after], manifest)


def check_interface(manifest: Manifest, model: Path) -> list[Path]:
    """Return the versions of a model that are there. Raise `BadInput` where one takes or gives something else."""
    earlier = [model / str(version) for version in versions_of(model)]
    if any(_interface(read_manifest(version)) != _interface(manifest) for version in earlier):
        raise BadInput(
            f"every version of a model must take and give the same, found {_INTERFACE} in {model}; "
            "give this one another `name`"
        )
    return earlier


def check_servable(artifact: Artifact, settings: ModelSettings, engine: Engine | None) -> None:
    """Raise `BadInput` where Triton could not serve that artifact or engine in that way."""
    if (settings.backend == "tensorrt") != (engine is not None):
        raise BadInput(
            "the backend tensorrt must be given an engine, and no other takes one; found "
            f"{settings.backend} with {'an' if engine else 'no'} engine"
        )
    if engine and engine.made_of["target"] != "tensorrt":
        raise BadInput(
            f"Triton must be given an engine of the target tensorrt, found one of {engine.made_of['target']}, which "
            "its TensorRT backend cannot load; serve the graph by `backend` onnxruntime"
        )
    if engine:
        check_has_weights(engine)
    check_served_for(artifact.manifest, settings, artifact.source)
    settings.largest_batch(_batch(artifact.manifest, engine.made_of if engine else None))
    if not engine and artifact.precision == "bf16":
        raise BadInput(
            "ONNX Runtime must have kernels for the precision of the graph, found bf16; export it in fp16 or fp32"
        )


def check_served_for(manifest: Manifest, settings: ModelSettings, source: str) -> None:
    """Raise `BadInput` where a graph that is written for one runner would be served by something else."""
    if manifest.for_runner == OPENVINO:
        raise BadInput(
            f"{source} must be run by OpenVINO, which its graph is written for, found a server whose backends run "
            "ONNX Runtime; export it without `for_runner`"
        )
    if manifest.for_runner and (settings.on_gpu or settings.accelerator):
        where = f"the accelerator {settings.accelerator}" if settings.accelerator else "a GPU"
        raise BadInput(
            f"{source} must be served on the CPU, since its graph is written for {manifest.for_runner}, found {where}; "
            "export it without `for_runner`"
        )


def read_manifest(version: Path) -> Manifest:
    """Return the manifest of the artifact that a version was made of. Raise `BadInput`."""
    path = version / MANIFEST
    try:
        content = read_bytes(path, MAX_BYTES)
    except BadInput as error:
        raise BadInput(
            f"{version} must have the {MANIFEST} of its artifact, as `triton.export()` writes it: {error}"
        ) from None
    try:
        return Manifest.from_bytes(content)
    except BadInput as error:
        raise BadInput(f"{version}: {error}") from None


def batch_of(version: Path) -> BatchRange:
    """Return the batches that a version takes. Raise `BadInput`."""
    report = version / REPORT
    engine = read_engine_report(report, ".engine")["identity"] if report.exists() else None
    return _batch(read_manifest(version), engine)


def engine_batch(made_of: Mapping[str, Any]) -> BatchRange:
    """Return the batches that an engine of that identity takes in Triton. Raise `BadInput` where it names none."""
    profile = first_profile(made_of)
    return BatchRange(profile.least, profile.most)


def model_program(name: str) -> bytes:
    """Return a file of `repository/models`, which a repository holds as it is."""
    return (resources.files("resnas_deploy.serving.repository.models") / name).read_bytes()


def copied_module(name: str) -> bytes:
    """Return one of `COPIED_MODULES` as a repository holds it; an `__init__` does nothing there."""
    return b"" if name.endswith("__init__.py") else (resources.files("resnas_deploy") / name).read_bytes()


def _open(path: Path) -> tuple[Artifact, Engine | None]:
    bare = is_onnx_file(path) and path.is_file()  # which is told what it lacks
    if not path.is_dir() and not bare and lexical(path).parent.name != ENGINES:
        raise BadInput(f"an artifact's folder, or an engine in one ({ENGINES}/ID.engine), must be given, found {path}")
    return open_source(path)


def _batch(manifest: Manifest, engine: Mapping[str, Any] | None) -> BatchRange:
    return engine_batch(engine) if engine else manifest.batch


def _interface(manifest: Manifest) -> tuple[object, ...]:
    return manifest.input, manifest.arch.image_size, manifest.arch.classes, manifest.class_names


def _fill_network(folder: Path, artifact: Artifact, settings: ModelSettings, engine: Engine | None) -> None:
    with write_errors(folder):
        (folder / MANIFEST).write_bytes(artifact.manifest.to_bytes())
        if engine:
            shutil.copyfile(engine.file, folder / PLAN)
            (folder / REPORT).write_bytes(engine.report_bytes())
            return
        shutil.copyfile(artifact.graph, folder / MODEL)
        if settings.backend == "python":
            (folder / MODEL_PY).write_bytes(model_program("network.py"))


def _fill_preprocess(folder: Path, manifest: Manifest) -> None:
    with write_errors(folder):
        (folder / MODEL_PY).write_bytes(model_program("preprocess.py"))
        (folder / PREPROCESSING).write_bytes(_preprocessing(manifest))
        modules = folder / "resnas_deploy"
        for name in COPIED_MODULES:
            (modules / name).parent.mkdir(exist_ok=True)
            (modules / name).write_bytes(copied_module(name))


def _preprocessing(manifest: Manifest) -> bytes:
    return (json.dumps(manifest.preprocessing.to_json(), indent=1) + "\n").encode()
