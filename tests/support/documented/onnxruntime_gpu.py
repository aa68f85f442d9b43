"""ONNX Runtime with its CUDA and TensorRT providers, as documented; what it computes, the real one computes on the CPU.

What it stands for:
- https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html and CUDA-ExecutionProvider.html: the
  options' names;
- microsoft/onnxruntime, onnxruntime/python/onnxruntime_pybind_state.cc: values are text, switches of the TensorRT
  provider are `True` or `False`, and other names are refused ("Invalid TensorRT EP option");
- https://github.com/microsoft/onnxruntime/issues/32254 and 6455: an engine in the cache is named by its prefix, or by
  the graph's name and those of its nodes, and is taken for whatever network has that name;
- https://onnxruntime.ai/docs/execution-providers/EP-Context-Design.html and microsoft/onnxruntime,
  onnxruntime/core/providers/tensorrt/onnx_ctx_model_helper.cc: a session with `ep.context_enable` writes a model of one
  node `com.microsoft::EPContext` when it is opened, if the provider knows all batch sizes, and one of that model takes
  the engine out of the node's `ep_cache_context`, on a GPU of the same capability;
- https://github.com/microsoft/onnxruntime/issues/26029: NVIDIA_TF32_OVERRIDE is read by the first session for good.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import helper

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
SWITCHES = {
    "trt_cuda_graph_enable",
    "trt_dump_ep_context_model",
    "trt_engine_cache_enable",
    "trt_force_timing_cache",
    "trt_sparsity_enable",
    "trt_timing_cache_enable",
}
NUMBERS = {
    "device_id",
    "trt_builder_optimization_level",
    "trt_ep_context_embed_mode",
    "trt_max_workspace_size",
    "user_compute_stream",
}
TEXTS = {
    "trt_engine_cache_path",
    "trt_engine_cache_prefix",
    "trt_ep_context_file_path",
    "trt_timing_cache_path",
    *(f"trt_profile_{what}_shapes" for what in ("min", "opt", "max")),
}
CUDA_OPTIONS = {"device_id", "user_compute_stream", "use_tf32", "enable_cuda_graph"}
CAPABILITY = b"89"
TIMINGS = "TensorrtExecutionProvider_cache_sm89.timing"
RealSession = onnxruntime.InferenceSession


@dataclass
class Runtime:
    """What has happened to ONNX Runtime in a process."""

    override: list[str | None] = field(default_factory=list)  # what the first session found
    built: list[str] = field(default_factory=list)  # the engines that were built, by name
    sessions: list[Session] = field(default_factory=list)

    def open(self, model: str | bytes, settings: Any = None, providers: Any = (), **_rest: Any) -> Session:
        """Open a session, as `InferenceSession` does."""
        session = Session(self, model, settings, providers)
        self.sessions.append(session)
        return session


class Session:
    """A session whose provider has built an engine, or taken one from its cache."""

    def __init__(self, runtime: Runtime, model: str | bytes, settings: Any, providers: Any) -> None:
        named = [(item, {}) if isinstance(item, str) else item for item in providers]  # both forms are documented
        self.providers = {name: dict(options) for name, options in named}
        content = Path(model).read_bytes() if isinstance(model, str) else model
        if options := self.providers.get(TENSORRT):
            check_tensorrt(options)
            if not runtime.override:
                runtime.override.append(os.environ.get("NVIDIA_TF32_OVERRIDE"))
            self.tf32 = runtime.override[0] != "0"
            content = _out_of_context(content) or _engine(runtime, options, content)
            _write_context(settings, options, content)
        if options := self.providers.get(CUDA):
            if unknown := options.keys() - CUDA_OPTIONS:
                raise RuntimeError(f"Unknown provider option: {min(unknown)}")
            self.cuda_tf32 = options.get("use_tf32", "1") != "0"
        self._session = RealSession(content, providers=[CPU])  # without the settings, which forbid the CPU

    def get_providers(self) -> list[str]:
        """Return the names of the providers, the CPU's included."""
        return [*self.providers, CPU]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        """Return nothing that was left to another provider: all of the graph is one engine."""
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def check_tensorrt(options: dict[str, Any]) -> None:
    """Refuse what the real provider refuses."""
    for name, value in options.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} must be text, found {value!r}")
        if name in SWITCHES:
            if value not in ("True", "true", "False", "false"):
                raise RuntimeError(f"[ERROR] [TensorRT] The value for the key '{name}' should be 'True' or 'False'.")
        elif name in NUMBERS:
            int(value)
        elif name in TEXTS:
            if not value:
                raise RuntimeError(f"[ERROR] [TensorRT] The value for the key '{name}' should be a name.")
        else:
            raise RuntimeError(f"Invalid TensorRT EP option: {name}")


def _engine(runtime: Runtime, options: dict[str, str], content: bytes) -> bytes:
    """Return what the engine that the provider uses computes: of this model, or of the one that the cache has."""
    model = onnx.load_from_string(content)
    names = "".join([model.graph.name, *(node.name for node in model.graph.node)])
    usual = f"{TENSORRT}_TRTKernel_graph_{model.graph.name}"
    prefix = options.get("trt_engine_cache_prefix", usual)
    name = f"{prefix}_{hashlib.sha256(names.encode()).hexdigest()[:16]}_0_0_sm89.engine"
    kept = Path(options.get("trt_engine_cache_path", "."), name)
    if options.get("trt_engine_cache_enable", "False").lower() != "true":
        runtime.built.append(name)
        return content
    if not kept.exists():
        runtime.built.append(name)
        kept.write_bytes(content)
        if options.get("trt_timing_cache_enable", "False").lower() == "true":
            Path(options["trt_timing_cache_path"], TIMINGS).write_bytes(b"timings")
    return kept.read_bytes()


def _out_of_context(content: bytes) -> bytes | None:
    """Return what the engine in a context model computes; None of another model."""
    nodes = onnx.load_from_string(content).graph.node
    if [node.op_type for node in nodes] != ["EPContext"]:
        return None
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in nodes[0].attribute}
    if attributes["hardware_architecture"] != CAPABILITY or not attributes["embed_mode"]:
        raise RuntimeError("TensorRT EP could not deserialize engine from binary data")
    engine: bytes = attributes["ep_cache_context"]
    return engine


def _write_context(settings: Any, options: dict[str, str], content: bytes) -> None:
    """Write the context model, where one was asked for."""
    if _said(settings, "ep.context_enable") != "1":
        return
    graph = onnx.load_from_string(content).graph
    fixed = all(dim.HasField("dim_value") for dim in graph.input[0].type.tensor_type.shape.dim)
    if not fixed and "trt_profile_min_shapes" not in options:
        return  # it would build when it is first run
    node = helper.make_node(
        "EPContext",
        [value.name for value in graph.input],
        [value.name for value in graph.output],
        domain="com.microsoft",
        embed_mode=int(_said(settings, "ep.context_embed_mode") or 0),
        ep_cache_context=content,
        hardware_architecture=CAPABILITY,
    )
    context = helper.make_graph([node], "context", graph.input, graph.output)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(context, opset_imports=opsets)
    Path(_said(settings, "ep.context_file_path")).write_bytes(model.SerializeToString())


def _said(settings: Any, name: str) -> str:
    try:
        return str(settings.get_session_config_entry(name))
    except RuntimeError:  # nothing
        return ""
