"""What a network's version, and its preprocessing's, claim in `config.pbtxt`, compared with the files beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tritonclient.grpc import model_config_pb2 as pb

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.inputs import FLOAT32, UINT8, input_named
from resnas_deploy.artifact.artifact import MANIFEST, MODEL
from resnas_deploy.artifact.manifest import MAX_BYTES, Manifest
from resnas_deploy.artifact.written_for import OPENVINO
from resnas_deploy.engines.store import read_engine_report
from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.files.reading import read_bytes, read_json
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.serving.repository.config import IMAGE_FILE, LABELS, PLAN, data_type
from resnas_deploy.serving.repository.contents import (
    COPIED_MODULES,
    MODEL_PY,
    PREPROCESSING,
    REPORT,
    copied_module,
    engine_batch,
    model_program,
    read_manifest,
)
from resnas_deploy.serving.repository.releases import onnxruntime_of, tensorrt_of
from resnas_deploy.weights.checkpoint import file_digest

_ATTENTION_SINCE = (1, 23)  # the ONNX Runtime that knows opset 23


def network_problems(version: Path, config: Any, release: str) -> Iterator[str]:
    """Yield what is wrong with a version of a network, as a server of that Triton release would serve it."""
    try:
        manifest = read_manifest(version)
    except BadInput as error:
        yield str(error).removeprefix(f"{version}: ")
        return
    size, classes = manifest.arch.image_size, manifest.arch.classes
    kind = input_named(manifest.input)
    yield from _tensor_problems("input", config.input, INPUT, data_type(kind), [*kind.dims(size)])
    yield from _tensor_problems("output", config.output, OUTPUT, pb.TYPE_FP32, [classes])
    if not 1 <= config.max_batch_size <= manifest.batch.most:
        yield f"max_batch_size must be from 1 to the artifact's {manifest.batch.most}, found {config.max_batch_size}"
    yield from _batching_problems(config)
    yield from _label_problems(version.parent, config, manifest)
    if config.backend == "tensorrt":
        yield from _engine_problems(version, config, manifest, release)
        return
    if config.backend not in ("python", "onnxruntime"):
        yield f"backend must be python, onnxruntime or tensorrt, found {shown(config.backend or config.platform)}"
    yield from _file_problems(version / MODEL, manifest.files.get(MODEL, ""))
    if manifest.for_runner == OPENVINO:
        yield f"the graph must be run by ONNX Runtime, but it is written for {OPENVINO}; export one for any"
    elif manifest.for_runner and _leaves_cpu(config):
        yield f"the graph must be run on the CPU, for it is written for {manifest.for_runner}; export one for any"
    if config.backend == "python" and _content(version / MODEL_PY) != model_program("network.py"):
        yield f"{MODEL_PY} must be the one of this resnas, found another or none; export the model again"
    if config.backend == "onnxruntime" and release:
        found = onnxruntime_of(release)
        if tuple(map(int, found.split(".")[:2])) < _ATTENTION_SINCE:
            yield f"ONNX Runtime must know opset 23 (1.23 or newer), found {found} in Triton {release}"


def _leaves_cpu(config: Any) -> bool:
    """Whether a graph is run on a GPU, or by another execution provider than ONNX Runtime's own for CPUs."""
    accelerators = config.optimization.execution_accelerators
    asked = accelerators.gpu_execution_accelerator or accelerators.cpu_execution_accelerator
    # KIND_AUTO, the usual one, takes a GPU where there is one.
    return bool(asked) or any(group.kind != pb.ModelInstanceGroup.KIND_CPU for group in config.instance_group)


def _engine_problems(version: Path, config: Any, manifest: Manifest, release: str) -> Iterator[str]:
    try:
        report = read_engine_report(version / REPORT, ".engine")
        made = report["identity"]
        batch = engine_batch(made)
    except BadInput as error:
        yield str(error)
        return
    yield from _file_problems(version / PLAN, report["engine_sha256"])
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


def preprocess_problems(version: Path, config: Any) -> Iterator[str]:
    """Yield what is wrong with a version of the model that prepares images."""
    try:
        side = Preprocessing.from_json(read_json(version / PREPROCESSING), PREPROCESSING).image_size
    except BadInput:
        yield f"{PREPROCESSING} must be one that resnas wrote, found something else"
        return
    yield from _tensor_problems("input", config.input, IMAGE_FILE, pb.TYPE_STRING, [1])
    levels = [tensor.data_type for tensor in config.output] == [data_type(UINT8)]
    kind = UINT8 if levels else FLOAT32  # which of them the network takes, the check of what calls both compares
    yield from _tensor_problems("output", config.output, INPUT, data_type(kind), [*kind.dims(side)])
    wanted = {MODEL_PY: model_program("preprocess.py")}
    wanted |= {f"resnas_deploy/{name}": copied_module(name) for name in COPIED_MODULES}
    for name, content in wanted.items():
        if _content(version / name) != content:
            yield f"{name} must be the one of this resnas, found another or none; remove the model and export it again"


def _tensor_problems(kind: str, tensors: Any, name: str, data_type: int, dims: list[int]) -> Iterator[str]:
    found = [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in tensors]
    if found != [(name, data_type, dims)]:
        there = (f"{shortened(name, 60)} {_type_name(number)} {sizes[:8]}" for name, number, sizes in found[:3])
        yield f"the {kind} must be {name} {pb.DataType.Name(data_type)} {dims}, found {'; '.join(there) or 'none'}"


def _type_name(number: int) -> str:
    return str(pb.DataType.Name(number)) if number in pb.DataType.values() else f"type {number}"


def _batching_problems(config: Any) -> Iterator[str]:
    wrong = [size for size in config.dynamic_batching.preferred_batch_size if not 1 <= size <= config.max_batch_size]
    if wrong:
        yield f"preferred batch sizes must be at most max_batch_size {config.max_batch_size}, found {wrong[0]}"


def _label_problems(model: Path, config: Any, manifest: Manifest) -> Iterator[str]:
    name = config.output[0].label_filename if config.output else ""
    if manifest.class_names is None:
        if name:
            yield f"labels must be left out for a network without class names, found {shown(name)}"
        return
    if name != LABELS:  # and no path that leads elsewhere
        yield f"label_filename must be {LABELS}, found {shown(name)}"
        return
    content = _content(model / LABELS)
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
