"""What OpenVINO compiles: a graph with its functions inlined, IR, or the IR of an engine; and what it compiled, kept.

A compiled model is kept beside its engine, `ID.KEY.blob`, and the next process imports it instead of compiling
(`CompiledModel.export_model` and `Core.import_model`,
https://docs.openvino.ai/2026/openvino-workflow/running-inference/optimize-inference/optimizing-latency/model-caching-overview.html).
OpenVINO's own cache, the property CACHE_DIR, does the same but takes what it finds: with one bit of a weight turned
over, 2026.4 imported a blob and gave other logits. So the file begins with the sha256 of the rest, and KEY is a hash of
all that it depends on.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import inliner

from resnas_deploy.errors import BadInput, StorageError, first_line
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.reading import read_bytes
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.runners import devices
from resnas_deploy.runners.base import EngineFile
from resnas_deploy.runners.openvino_heads import keep_apart

ov = import_quietly("openvino")

SUFFIX = ".blob"
MOST_GRAPH = 100_000_000  # bytes of an IR's .xml: one of ours has a million
MOST_COMPILED = 8_000_000_000
MOST_KEPT = 4  # blobs of one engine; the oldest goes first
_SHA256 = hashlib.sha256().digest_size
_log = logging.getLogger(__name__)


def read(path: Path, model: bytes | None = None, engine: EngineFile | None = None) -> Any:
    """Return OpenVINO's model of an ONNX file or of IR, of the ONNX graph `model`, or of an engine's two files."""
    core = devices.openvino_core()
    if engine:
        network = core.read_model(*_files(engine))
    elif model is None and path.suffix == ".xml":
        network = core.read_model(path)
    else:
        network = core.read_model(_inlined(path, model))
    keep_apart(network)
    return network


def compiled(
    path: Path,
    model: bytes | None,
    engine: EngineFile | None,
    settings: Mapping[str, object],
    prepare: Callable[[Any], None] | None,
    batch: int | None = None,
) -> Any:
    """Return what `read` returns compiled for the CPU; of an engine what was kept of that, where it is of use here.

    `prepare` is given the model before it is compiled, or is None; then what was compiled is not kept. With a `batch`
    it is compiled for batches of that size alone, which is faster.
    """
    core = devices.openvino_core()
    kept = _kept(engine, settings, batch) if engine and engine.digest and not prepare else None
    if kept and (found := _imported(core, kept, settings)):
        return found
    network = read(path, model, engine)
    if batch:
        shape = network.inputs[0].get_partial_shape()
        shape[0] = batch
        network.reshape({network.inputs[0]: shape})
    if prepare:
        prepare(network)
    made = core.compile_model(network, "CPU", dict(settings))
    if kept:
        _keep(made, kept)
    return made


def write_ir(model: Any, path: Path) -> None:
    """Write a model as IR, `path` and its weights beside it in `.bin`; every weight keeps its type."""
    ov.save_model(model, str(path), compress_to_fp16=False)


def _inlined(path: Path, model: bytes | None) -> bytes:
    """Return the graph of standard operators alone. No more than two forms of it are in memory at once."""
    proto = onnx.load(path) if model is None else onnx.load_from_string(model)
    proto = inliner.inline_local_functions(proto)
    inlined: bytes = proto.SerializeToString()
    return inlined


def _files(engine: EngineFile) -> tuple[bytes, Any]:
    """Return an engine's graph and its weights, which are mapped and not read."""
    if engine.weights is None:
        raise BadInput(f"{engine.path} must be IR of OpenVINO, found an engine without a file of weights")
    return read_bytes(engine.file, MOST_GRAPH), ov.Tensor(np.memmap(engine.weights, np.uint8, "r"))


def _kept(engine: EngineFile, settings: Mapping[str, object], batch: int | None) -> Path:
    """Return where what is compiled of an engine is kept: for this OpenVINO, CPU, settings, and batch, if for one."""
    cpu = devices.openvino_core().get_property("CPU", "FULL_DEVICE_NAME")
    made_of = {
        "files": engine.digest,
        "openvino": ov.__version__,
        "cpu": [cpu, *sorted(devices.capabilities())],
        "settings": sorted((key, str(value)) for key, value in settings.items()),
    } | ({"batch": batch} if batch else {})
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
    return engine.path.with_name(f"{engine.path.stem}.{key[:16]}{SUFFIX}")


def _imported(core: Any, path: Path, settings: Mapping[str, object]) -> Any:
    """Return a compiled model that was kept, or None where there is none of use."""
    if not path.exists():
        return None
    try:
        content = read_bytes(path, MOST_COMPILED)
        if hashlib.sha256(content[_SHA256:]).digest() == content[:_SHA256]:
            return core.import_model(BytesIO(content[_SHA256:]), "CPU", dict(settings))
        problem = "it was cut short or changed"
    except Exception as error:  # noqa: BLE001  of OpenVINO, mostly a RuntimeError, and of whoever may not read it
        problem = first_line(error)
    _log.warning(f"{path} is not used, for {problem}: the engine is compiled anew, and this replaced")
    return None


def _keep(made: Any, path: Path) -> None:
    """Keep a compiled model. Of several writers the last wins; where nothing can be written, nothing is kept."""
    try:
        content = made.export_model()
        with atomic_file(path) as partial, partial.open("wb") as file:
            data = bytes(content) if isinstance(content, bytes | bytearray) else content.getvalue()
            file.write(hashlib.sha256(data).digest())
            file.write(data)
        _forget_oldest(path)
    except (BadInput, StorageError, RuntimeError) as error:  # the last is OpenVINO's
        _log.info(f"what was compiled cannot be kept: {error}")


def _forget_oldest(path: Path) -> None:
    """Remove all but the newest few compiled forms of one engine."""
    with suppress(OSError):  # another process does the same
        there = path.parent.glob(f"{path.name.partition('.')[0]}.*{SUFFIX}")
        for old in sorted(there, key=lambda each: each.stat().st_mtime_ns, reverse=True)[MOST_KEPT:]:
            old.unlink(missing_ok=True)
