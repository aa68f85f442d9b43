"""Builds an EPContext model with ONNX Runtime's TensorRT provider, in the process of a builder.

The model is one node of the operator `com.microsoft::EPContext` with TensorRT's engine inside
(https://onnxruntime.ai/docs/execution-providers/EP-Context-Design.html: `ep.context_enable`, `ep.context_file_path`,
`ep.context_embed_mode`). The provider writes it when a session is opened, if it knows all batch sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import onnx

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.processes.settings import variable
from resnas_deploy.runners.devices import TENSORRT_PROVIDER
from resnas_deploy.runners.placement import NO_CPU
from resnas_deploy.runners.tf32 import OFF, OVERRIDE

OPERATOR, DOMAIN = "EPContext", "com.microsoft"
SESSION = {"ep.context_enable": "1", "ep.context_embed_mode": "1", NO_CPU: "1"}


class Refused(Exception):
    """ONNX Runtime, or its provider, said no."""


def build_context(request: Mapping[str, Any], send: Callable[..., None], log: IO[str]) -> None:
    """Build `request` and write the model to its `out`. Raise `Refused`."""
    from resnas_deploy.runners.ort_gpu import load_libraries

    ort = import_quietly("onnxruntime")
    with scratch_folder("context") as folder, variable(OVERRIDE).at(None if request["tf32"] else OFF):
        load_libraries(TENSORRT_PROVIDER)
        written = folder / "context.onnx"
        settings = ort.SessionOptions()
        for name, value in (SESSION | {"ep.context_file_path": str(written)}).items():
            settings.add_session_config_entry(name, value)
        send(phase="building with ONNX Runtime")
        session = ort.InferenceSession(
            request["model"], settings, providers=[(TENSORRT_PROVIDER, options(request))], enable_fallback=0
        )
        if TENSORRT_PROVIDER not in session.get_providers():  # it falls back to the CPU without an error
            raise Refused(f"ONNX Runtime found no device for {TENSORRT_PROVIDER}")
        del session
        log.write(f"INFO options {options(request)}\n")
        _check(written)
        Path(request["out"]).write_bytes(written.read_bytes())


def options(request: Mapping[str, Any]) -> dict[str, str]:
    """Return what the provider is told; the builder's process sees one GPU alone."""
    ((least, usual, most),) = request["profiles"]
    image, found = "x".join(map(str, request["image"])), {"device_id": "0"}
    for what, batch in (("min", least), ("opt", usual), ("max", most)):
        found[f"trt_profile_{what}_shapes"] = f"{INPUT}:{batch}x{image}"
    if request["workspace_bytes"]:
        found["trt_max_workspace_size"] = str(request["workspace_bytes"])
    if request["level"] is not None:
        found["trt_builder_optimization_level"] = str(request["level"])
    if request["sparse_weights"]:
        found["trt_sparsity_enable"] = str(True)
    return found


def _check(path: Path) -> None:
    """Raise `Refused` where the model is not one engine from end to end."""
    if not path.exists():
        raise Refused(f"{TENSORRT_PROVIDER} wrote no EPContext model")
    nodes = onnx.load(path).graph.node
    others = [node.name or node.op_type for node in nodes if (node.domain, node.op_type) != (DOMAIN, OPERATOR)]
    if others or len(nodes) != 1:
        found = f"{len(others)} nodes left to others: {', '.join(others[:3])}" if others else f"{len(nodes)} engines"
        raise Refused(f"the whole graph must become one engine, found {found}")
