"""Builds one engine with TensorRT or TensorRT for RTX: `python -m resnas_deploy.engines.builder LOG`.

A builder may crash, may not be interrupted, and keeps gigabytes: in its own process none of that is the caller's. It
reads one JSON request from standard input and writes JSON lines: progress, then `built` or `error`. LOG is the number
of the open file that the builder's own log goes to. When its standard input ends, the caller is gone, and so is this
process, whatever it is doing. The two modules share one API, but for compute capabilities (RTX alone) and timing caches
(TensorRT alone).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import onnx
from onnx import inliner, shape_inference

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.engines.inspect_built import listings
from resnas_deploy.engines.refit_built import refitted
from resnas_deploy.files.outputs import output_file
from resnas_deploy.files.reading import read_bytes

MOST_TIMINGS = 500_000_000  # bytes of a timing cache
_COMPATIBILITY = {"ampere+": "AMPERE_PLUS", "same-capability": "SAME_COMPUTE_CAPABILITY"}
REFUSED = 1  # exit status where the builder gave a reason


class Refused(Exception):
    """The builder, or the parser before it, said no."""


def build(request: Mapping[str, Any], send: Any, log: IO[str]) -> None:
    """Build `request` and write the engine to its `out`. Raise `Refused`."""
    if request["module"] == "onnxruntime":
        from resnas_deploy.engines.ep_context_builder import build_context

        build_context(request, send, log)
        return
    trt = importlib.import_module(request["module"])
    logger = _logger(trt, log)
    builder = trt.Builder(logger)
    if builder is None:
        raise Refused("no builder could be made; is there a GPU and its driver?")
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    send(phase="parsing the graph")
    # Functions are inlined here and not by TensorRT, which ignores attributes that a body's nodes take from the node.
    model = inliner.inline_local_functions(onnx.load(request["model"]))
    if not parser.parse(model.SerializeToString()):
        raise Refused("; ".join(parser.get_error(number).desc() for number in range(parser.num_errors)))
    _check_shapes(model, network)
    config = _configure(trt, builder, request)
    config.progress_monitor = _monitor(trt, send)
    cache = _load_timing_cache(config, request["timing_cache"])
    built = builder.build_serialized_network(network, config)
    if built is None:
        raise Refused("the builder made no engine")
    with Path(request["out"]).open("wb") as file:
        file.write(built)
    if request["listings"]:
        send(phase="inspecting the engine")
        found = listings(trt, logger, bytes(built), host_code=request["version_compatible"])
        Path(request["listings"]).write_text(json.dumps(found), encoding="utf-8", newline="\n")
    if cache is not None:
        with output_file(Path(request["timing_cache"]), replace=True) as partial:
            partial.write_bytes(config.get_timing_cache().serialize())


def refit(request: Mapping[str, Any], send: Any, log: IO[str]) -> None:
    """Put the weights of the graph of `request` into the engine of its `refit`, and write that to its `out`."""
    trt = importlib.import_module(request["module"])
    send(phase="refitting the engine")
    model = inliner.inline_local_functions(onnx.load(request["model"])).SerializeToString()
    plan = Path(request["refit"]).read_bytes()
    made = refitted(trt, _logger(trt, log), plan, model, host_code=request["version_compatible"])
    Path(request["out"]).write_bytes(made)


def _configure(trt: Any, builder: Any, request: Mapping[str, Any]) -> Any:
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    for least, usual, most in request["profiles"]:
        profile = builder.create_optimization_profile()
        profile.set_shape(INPUT, *((batch, *request["image"]) for batch in (least, usual, most)))
        if config.add_optimization_profile(profile) < 0:
            raise Refused(f"the profile {least}:{usual}:{most} was not taken")
    if request["workspace_bytes"]:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request["workspace_bytes"])
    if not request["tf32"]:  # which is on of itself
        config.clear_flag(trt.BuilderFlag.TF32)
    if request["version_compatible"]:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if request["user_allocation"]:
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # else it might not be captured in a CUDA graph
    _set_options(trt, config, request)
    if request["capabilities"]:
        config.num_compute_capabilities = len(request["capabilities"])
        for number, capability in enumerate(request["capabilities"]):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), number)
    return config


def _set_options(trt: Any, config: Any, request: Mapping[str, Any]) -> None:
    """Set what was asked for beside the usual. Raise `Refused` where the builder does not take it."""
    flags = trt.BuilderFlag
    if request["refittable"]:
        config.set_flag(flags.REFIT)
    if request["strip_weights"]:
        # Without `refittable` the weights that come back are those of the build, for which the kernels may be chosen.
        config.set_flag(flags.STRIP_PLAN)
        if not request["refittable"]:
            config.set_flag(flags.REFIT_IDENTICAL)
    if request["sparse_weights"]:
        config.set_flag(flags.SPARSE_WEIGHTS)
    if request["level"] is not None:
        config.builder_optimization_level = request["level"]
    if wanted := request["hardware_compatibility"]:
        level = getattr(trt.HardwareCompatibilityLevel, _COMPATIBILITY[wanted])
        config.hardware_compatibility_level = level
        if config.hardware_compatibility_level != level:
            raise Refused(f"the builder does not take the hardware compatibility {wanted}")


def _check_shapes(model: onnx.ModelProto, network: Any) -> None:
    """Raise `Refused` where a tensor has another shape than the graph says: the parser misread a node."""
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    wanted = {
        value.name: [dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim]
        for value in [*inferred.value_info, *inferred.output]
    }
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        for output in range(layer.num_outputs):
            tensor = layer.get_output(output)
            shape, known = list(tensor.shape), wanted.get(tensor.name)
            if known not in (None, shape):
                raise Refused(f"the parser misread {tensor.name}: its shape must be {known}, found {shape}")


def _load_timing_cache(config: Any, path: str | None) -> Any:
    if path is None:
        return None
    saved = Path(path)
    cache = config.create_timing_cache(read_bytes(saved, MOST_TIMINGS) if saved.exists() else b"")
    if cache is None or not config.set_timing_cache(cache, False):
        raise Refused(f"{path} is no timing cache of this builder and GPU")
    return cache


def _logger(trt: Any, log: IO[str]) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]  # the module has no types
        def log(self, severity: Any, message: str) -> None:
            log.write(f"{severity.name} {message}\n")

    return Logger()


def _monitor(trt: Any, send: Any) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the module has no types
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            self._steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            send(phase=phase, done=step + 1, of=self._steps.get(phase, 0))
            return True

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

    return Monitor()


def main() -> None:
    """Read a request, build it, say what came of it."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the library prints is no part of the answer
    lock = threading.Lock()

    def send(**fields: object) -> None:
        with lock:
            out.write(json.dumps(fields) + "\n")
            out.flush()

    def watch() -> None:
        sys.stdin.read()
        os._exit(REFUSED)

    request = json.loads(sys.stdin.readline())
    threading.Thread(target=watch, daemon=True).start()
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as log:
        try:
            (refit if "refit" in request else build)(request, send, log)
        except Exception as error:  # noqa: BLE001  whatever it is, the caller says it in one line
            log.write(f"ERROR {error}\n")
            log.flush()  # before the caller knows, who reads it and ends this process
            send(error=str(error))
            os._exit(REFUSED)
    send(built=True)


if __name__ == "__main__":
    main()
