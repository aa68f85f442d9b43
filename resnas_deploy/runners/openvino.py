"""OpenVINO on the CPU. It knows no model-local functions, so the reductions' bodies are put in their places first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
from onnx import inliner

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.precision import PRECISIONS
from resnas_deploy.processes.quiet import load
from resnas_deploy.runners.base import (
    Images,
    Network,
    Options,
    Outputs,
    Runner,
    as_float32,
    cannot_load,
    cannot_run,
    check_profiling,
    graph_of,
)
from resnas_deploy.runners.openvino_core import openvino_core
from resnas_deploy.runners.openvino_profile import name_by_element, operation_seconds

ov = load("openvino")


class OpenVinoRunner(Runner):
    """A compiled model with one inference request. It computes in the graph's precision, or in the one it is told."""

    def __init__(self, name: str, network: Network, options: Options, computes: str = "") -> None:
        core = openvino_core()
        precision = computes or network.precision
        native = precision.upper() in _capabilities()
        self.computes = precision if native else "fp32"
        settings = {
            # Without a hint it would run an fp32 graph in bf16 where the CPU can.
            "INFERENCE_PRECISION_HINT": PRECISIONS[self.computes].openvino,
            "INFERENCE_NUM_THREADS": options.threads,
            "PERFORMANCE_HINT": "LATENCY",
            "PERF_COUNT": options.profile,
        }
        try:
            model = core.read_model(_inlined(graph_of(network), options.model))
            if options.profile and network.arch is not None:
                name_by_element(model)
            compiled: Any = core.compile_model(model, "CPU", settings)
        except Exception as error:  # of OpenVINO, of onnx and of protobuf
            raise cannot_load(network, "OpenVINO", error) from error
        self.name = name
        self.device = options.device
        self.version = f"openvino {ov.__version__.split('-')[0]}"
        self.boundary = f"host to host, CPU, {options.threads} threads, preprocessing excluded"
        if computes:
            self.boundary += f", told to compute in {computes}"
        # An output may have several names, where a node that changed nothing was removed.
        outputs = enumerate(compiled.outputs)
        self._names = {name: number for number, output in outputs for name in output.get_names()}
        self._request = compiled.create_infer_request()
        self._network, self._options, self._runs = network, options, 0
        self._ours = network.arch is not None

    def run(self, images: Images) -> Outputs:
        # Shared, as in `step`: an input that is copied must fit into the memory of a shared one that came before it.
        results = self._infer({INPUT: images}, share_inputs=True)
        return {name: as_float32(results[number]) for name, number in self._names.items()}

    def step(self, images: Images) -> Callable[[], object]:
        feed = {INPUT: images}
        return lambda: self._infer(feed, share_inputs=True, share_outputs=True)

    def profile(self, images: Images, runs: int) -> Mapping[str, float]:
        check_profiling(self._options)
        self.run(images)
        earlier, before = self._runs, self._request.get_profiling_info()
        for _ in range(runs):
            self.run(images)
        after = self._request.get_profiling_info()
        return operation_seconds((earlier, before), (self._runs, after), ours=self._ours)

    def close(self) -> None:
        del self._request

    def _infer(self, feed: Mapping[str, Images], **how: bool) -> Any:
        self._runs += 1
        try:
            return self._request.infer(feed, **how)
        except Exception as error:  # of OpenVINO, mostly a RuntimeError
            raise cannot_run(self._network, "OpenVINO", error) from error


def bf16_problem(device: str) -> str | None:
    """Why this CPU cannot compute in bf16, or None. Told to all the same, OpenVINO would compute in fp32."""
    del device
    found = _capabilities()
    if "BF16" in found:
        return None
    return f"this CPU cannot compute in bf16, OpenVINO found only {', '.join(sorted(found))}"


def _capabilities() -> set[str]:
    return set(openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def _inlined(path: Path, model: bytes | None) -> bytes:
    """The graph of standard operators alone. Each form of it is let go before the next but one is made."""
    proto = onnx.load(path) if model is None else onnx.load_from_string(model)
    proto = inliner.inline_local_functions(proto)
    inlined: bytes = proto.SerializeToString()
    return inlined
