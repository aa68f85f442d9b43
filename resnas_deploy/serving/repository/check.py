"""Compares every claim of a model repository with the artifacts and engines that it serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.artifact.artifact import MANIFEST, MODEL
from resnas_deploy.artifact.manifest import MAX_BYTES, Manifest
from resnas_deploy.engines.store import read_report
from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.files.reading import read_bytes, read_json, read_text
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.serving.repository.config import CONFIG, IMAGE_FILE, LABELS, PLAN, parse
from resnas_deploy.serving.repository.contents import (
    DECODING,
    MODEL_PY,
    PREPROCESSING,
    REPORT,
    decoding,
    packaged,
    read_manifest,
)
from resnas_deploy.serving.repository.insertion import versions_of
from resnas_deploy.serving.repository.releases import onnxruntime_of, tensorrt_of
from resnas_deploy.serving.repository.settings import PREPROCESS, engine_batch
from resnas_deploy.weights.checkpoint import file_digest

_ATTENTION_SINCE = (1, 23)  # the ONNX Runtime that knows opset 23


@dataclass(frozen=True)
class Finding:
    """Something in a repository that does not hold."""

    where: str  # the model, and the version or the file
    problem: str  # what must hold, and what was found

    @property
    def model(self) -> str:
        """The model's name, which has no spaces."""
        return self.where.partition(" ")[0]

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


@dataclass(frozen=True)
class CheckedModel:
    """A model, what it is, and what is wrong with it."""

    name: str
    what: str
    versions: tuple[int, ...]
    findings: tuple[Finding, ...]


def check_repository(repository: Path, release: str = "") -> list[CheckedModel]:
    """Check every model of a repository, as a server of that Triton release (such as 25.09) would serve it.

    Raises `BadInput` where there is no repository or the release is not known.
    """
    if not repository.is_dir():
        raise BadInput(f"a model repository must be a folder, found none at {repository}")
    folders = sorted(path for path in repository.iterdir() if path.is_dir())
    if not folders:
        raise BadInput(
            f"a model repository must have a model, found none in {repository}; add one: resnas triton export"
        )
    configs: dict[str, Any] = {}
    findings: dict[str, list[Finding]] = {folder.name: [] for folder in folders}
    for folder in folders:
        try:
            configs[folder.name] = _read_config(folder)
        except BadInput as error:
            findings[folder.name].append(Finding(folder.name, str(error)))
    checked = []
    for folder in folders:
        config = configs.get(folder.name)
        if config is not None:
            findings[folder.name] += _check_model(folder, config, configs, release)
        checked.append(
            CheckedModel(
                folder.name,
                _what(folder, config),
                tuple(versions_of(folder)),
                tuple(map(_printable, findings[folder.name])),
            )
        )
    return checked


def with_findings(checked: list[CheckedModel], findings: list[Finding]) -> list[CheckedModel]:
    """The same models with what else was found of them."""
    return [
        replace(model, findings=(*model.findings, *(each for each in findings if each.model == model.name)))
        for model in checked
    ]


def _printable(finding: Finding) -> Finding:
    """What files say may hold anything."""
    return replace(finding, problem="".join(c if c.isprintable() else ascii(c)[1:-1] for c in finding.problem))


def _read_config(folder: Path) -> Any:
    path = folder / CONFIG
    if not path.exists():
        raise BadInput(f"{CONFIG} must be there, found none")
    return parse(read_text(path), CONFIG)


def _what(folder: Path, config: Any) -> str:
    versions = versions_of(folder)
    if config is not None and config.platform == "ensemble":
        return "ensemble"
    if versions and (folder / str(versions[-1]) / PREPROCESSING).exists():
        return "preprocessing"
    try:
        return read_manifest(folder / str(versions[-1])).label if versions else "?"
    except BadInput:
        return "?"


def _check_model(folder: Path, config: Any, configs: dict[str, Any], release: str) -> Iterator[Finding]:
    if config.name != folder.name:
        yield Finding(folder.name, f"{CONFIG} must name the model as its folder is named, found {shown(config.name)}")
    versions = versions_of(folder)
    if not versions:
        yield Finding(folder.name, "a model must have a version, a folder such as 1, found none")
    yield from _served_versions(folder.name, config, versions)
    if config.platform == "ensemble":
        yield from _check_ensemble(folder, config, configs)
        return
    for version in versions:
        place = folder / str(version)
        where = f"{folder.name} version {version}"
        if (place / PREPROCESSING).exists():
            problems = _preprocess_problems(place, config)
        else:
            problems = _network_problems(folder, place, config, release)
        yield from (Finding(where, problem) for problem in problems)


def _served_versions(name: str, config: Any, versions: list[int]) -> Iterator[Finding]:
    missing = sorted(set(config.version_policy.specific.versions) - set(versions))
    if missing:
        yield Finding(name, f"the versions to serve must be there, found none numbered {', '.join(map(str, missing))}")


def _network_problems(folder: Path, place: Path, config: Any, release: str) -> Iterator[str]:
    """What is wrong with a version of a network."""
    try:
        manifest = read_manifest(place)
    except BadInput as error:
        yield str(error).removeprefix(f"{place}: ")
        return
    size, classes = manifest.arch.image_size, manifest.arch.classes
    yield from _tensor_problems("input", config.input, INPUT, pb.TYPE_FP32, [3, size, size])
    yield from _tensor_problems("output", config.output, OUTPUT, pb.TYPE_FP32, [classes])
    if not 1 <= config.max_batch_size <= manifest.batch.most:
        yield f"max_batch_size must be from 1 to the artifact's {manifest.batch.most}, found {config.max_batch_size}"
    yield from _batching_problems(config)
    yield from _label_problems(folder, config, manifest)
    if config.backend == "tensorrt":
        yield from _engine_problems(place, config, manifest, release)
        return
    if config.backend not in ("python", "onnxruntime"):
        yield f"backend must be python, onnxruntime or tensorrt, found {shown(config.backend or config.platform)}"
    yield from _file_problems(place / MODEL, manifest.files.get(MODEL, ""))
    if config.backend == "python" and _content(place / MODEL_PY) != packaged("network.py"):
        yield f"{MODEL_PY} must be the one of this resnas, found another or none; export the model again"
    if config.backend == "onnxruntime" and release:
        found = onnxruntime_of(release)
        if tuple(map(int, found.split(".")[:2])) < _ATTENTION_SINCE:
            yield f"ONNX Runtime must know opset 23 (1.23 or newer), found {found} in Triton {release}"


def _engine_problems(place: Path, config: Any, manifest: Manifest, release: str) -> Iterator[str]:
    try:
        report = read_report(place / REPORT, ".engine")
        made = report["identity"]
        batch = engine_batch(made)
    except BadInput as error:
        yield str(error)
        return
    yield from _file_problems(place / PLAN, report["engine_sha256"])
    if made["weights"] != manifest.weights_sha256 or made["graph"] != manifest.files.get(MODEL):
        yield "the engine must be of the artifact whose manifest is beside it, found other weights or another graph"
    if made["precision"] != manifest.precision:
        yield f"the engine must compute in {manifest.precision}, found {made['precision']}"
    if batch.least > 1 or config.max_batch_size > batch.most:
        yield f"batches must lie in the engine's first profile {batch}, found 1:{config.max_batch_size}"
    if made["target"] != "tensorrt":
        yield f"an engine for Triton must be of the target tensorrt, found {made['target']}"
    elif release and not made["version_compatible"]:
        wanted, found = tensorrt_of(release), str(made["builder"]).rpartition(" ")[2]
        if wanted.split(".") != found.split(".")[:3]:
            yield f"the engine must be built by the TensorRT of Triton {release}, {wanted}, found {found}"


def _preprocess_problems(place: Path, config: Any) -> Iterator[str]:
    try:
        side = Preprocessing.from_json(read_json(place / PREPROCESSING), PREPROCESSING).image_size
    except BadInput:
        yield f"{PREPROCESSING} must be one that resnas wrote, found something else"
        return
    yield from _tensor_problems("input", config.input, IMAGE_FILE, pb.TYPE_STRING, [1])
    yield from _tensor_problems("output", config.output, INPUT, pb.TYPE_FP32, [3, side, side])
    wanted = {MODEL_PY: packaged("preprocess.py")}
    wanted |= {f"resnas_deploy/{name}": decoding(name) for name in DECODING}
    for name, content in wanted.items():
        if _content(place / name) != content:
            yield f"{name} must be the one of this resnas, found another or none; remove the model and export it again"


def _check_ensemble(folder: Path, config: Any, configs: dict[str, Any]) -> Iterator[Finding]:
    for step in config.ensemble_scheduling.step:
        inner = configs.get(step.model_name)
        if inner is None:
            yield Finding(folder.name, f"the model {shown(step.model_name)} must be in the repository, found none")
            continue
        if inner.max_batch_size < config.max_batch_size:
            yield Finding(
                folder.name,
                f"max_batch_size must be at most {inner.max_batch_size}, that of {step.model_name}, "
                f"found {config.max_batch_size}",
            )
        if step.model_name == folder.name or not set(step.input_map) <= {tensor.name for tensor in inner.input}:
            yield Finding(folder.name, f"the step {step.model_name} must map inputs that the model has")
    last = configs.get(config.ensemble_scheduling.step[-1].model_name) if config.ensemble_scheduling.step else None
    if last is None:
        yield Finding(
            folder.name, f"an ensemble must have steps such as {folder.name}{PREPROCESS}, found none that is here"
        )
    elif [list(tensor.dims) for tensor in config.output] != [list(tensor.dims) for tensor in last.output]:
        yield Finding(folder.name, "the output must be that of the last step, found other dimensions")


def _tensor_problems(kind: str, tensors: Any, name: str, data_type: int, dims: list[int]) -> Iterator[str]:
    found = [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in tensors]
    if found != [(name, data_type, dims)]:
        told = (
            "; ".join(f"{shortened(name, 60)} {_type_name(kind)} {dims[:8]}" for name, kind, dims in found[:3])
            or "none"
        )
        yield f"the {kind} must be {name} {pb.DataType.Name(data_type)} {dims}, found {told}"


def _type_name(number: int) -> str:
    return str(pb.DataType.Name(number)) if number in pb.DataType.values() else f"type {number}"


def _batching_problems(config: Any) -> Iterator[str]:
    wrong = [size for size in config.dynamic_batching.preferred_batch_size if not 1 <= size <= config.max_batch_size]
    if wrong:
        yield f"preferred batch sizes must be at most max_batch_size {config.max_batch_size}, found {wrong[0]}"


def _label_problems(folder: Path, config: Any, manifest: Manifest) -> Iterator[str]:
    name = config.output[0].label_filename if config.output else ""
    if manifest.class_names is None:
        if name:
            yield f"labels must be left out for a network without class names, found {shown(name)}"
        return
    if name != LABELS:  # and no path that leads elsewhere
        yield f"label_filename must be {LABELS}, found {shown(name)}"
        return
    content = _content(folder / LABELS)
    if content is None or content.decode(errors="replace").splitlines() != list(manifest.class_names):
        yield f"{LABELS} must hold the artifact's {len(manifest.class_names)} class names, found others or none"


def _file_problems(path: Path, digest: str) -> Iterator[str]:
    try:
        found = file_digest(path)
    except (BadInput, OSError) as error:
        yield f"{path.name} must be there: {str(error).removeprefix(f'{path} ')}"
        return
    if found != digest:
        yield f"{path.name} differs from the hash in {MANIFEST if path.name == MODEL else REPORT}: it was changed"


def _content(path: Path) -> bytes | None:
    try:
        return read_bytes(path, MAX_BYTES)
    except BadInput:
        return None
