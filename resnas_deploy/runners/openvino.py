"""OpenVINO on the CPU. It knows no model-local functions, so the reductions' bodies are put in their places first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import openvino as ov
from onnx import inliner

from resnas_deploy.artifact import INPUT
from resnas_deploy.runners.base import Images, Network, Options, Outputs, Runner, as_float32, cannot_load

# What OpenVINO is told to compute in. Without a hint it would run an fp32 graph in bf16 where the CPU can.
_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
_CAPABILITIES = {"fp32": "FP32", "fp16": "FP16", "bf16": "BF16"}


class OpenVinoRunner(Runner):
    """A compiled model with one inference request."""

    def __init__(self, network: Network, options: Options) -> None:
        core = ov.Core()
        precision = network.precision
        native = _CAPABILITIES[precision] in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.computes = precision if native else "fp32"
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.computes],
            "INFERENCE_NUM_THREADS": options.threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            model = core.read_model(_inlined(network.model, options.model))
            compiled: Any = core.compile_model(model, "CPU", settings)
        except Exception as error:  # of OpenVINO, of onnx and of protobuf
            raise cannot_load(network, "OpenVINO", error) from error
        self.name = "openvino"
        self.device = options.device
        self.version = f"openvino {ov.__version__.split('-')[0]}"
        self.boundary = f"host to host, CPU, {options.threads} threads, preprocessing excluded"
        # An output may have several names, where a node that changed nothing was removed.
        self._names = {name: number for number, output in enumerate(compiled.outputs) for name in output.get_names()}
        self._request = compiled.create_infer_request()

    def run(self, images: Images) -> Outputs:
        # Shared, as in `step`: an input that is copied must fit into the memory of a shared one that came before it.
        results = self._request.infer({INPUT: images}, share_inputs=True)
        return {name: as_float32(results[number]) for name, number in self._names.items()}

    def step(self, images: Images) -> Callable[[], object]:
        request, feed = self._request, {INPUT: images}
        return lambda: request.infer(feed, share_inputs=True, share_outputs=True)

    def close(self) -> None:
        del self._request


def _inlined(path: Path, model: bytes | None) -> bytes:
    """The graph of standard operators alone. Each form of it is let go before the next but one is made."""
    proto = onnx.load(path) if model is None else onnx.load_from_string(model)
    proto = inliner.inline_local_functions(proto)
    inlined: bytes = proto.SerializeToString()
    return inlined
