"""ONNX Runtime, on the CPU or on CUDA: the same code with another execution provider."""

from __future__ import annotations

from collections.abc import Callable

import onnxruntime as ort

from resnas_deploy.artifact import INPUT
from resnas_deploy.errors import NotAvailable
from resnas_deploy.runners.base import Images, Network, Options, Outputs, Runner, as_float32, cannot_load

CPU_PROVIDER, CUDA_PROVIDER = "CPUExecutionProvider", "CUDAExecutionProvider"
# Else fp32 products on CUDA are rounded to TF32's 10 bits, which is not what the graph says (CUDA provider's options).
_PROVIDER_OPTIONS: dict[str, dict[str, str]] = {CPU_PROVIDER: {}, CUDA_PROVIDER: {"use_tf32": "0"}}
_FATAL_ONLY = 4  # of ONNX Runtime's log levels; what is not fatal comes as an exception too


class OrtRunner(Runner):
    """A session. On CUDA, one step copies the images to the device and the logits back."""

    def __init__(self, name: str, provider: str, network: Network, options: Options) -> None:
        self.name = name
        self.version = f"onnxruntime {ort.__version__}"
        self.device = options.device
        self.computes = "fp32" if provider == CPU_PROVIDER else network.precision
        self.boundary = f"host to host, {provider}, {options.threads} threads, preprocessing excluded"
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        if options.shares_cores:  # else its threads go on spinning for a while after a run, at the next one's expense
            settings.add_session_config_entry("session.force_spinning_stop", "1")
            self.boundary += ", threads asleep between runs"
        settings.log_severity_level = _FATAL_ONLY
        try:
            model = str(network.model) if options.model is None else options.model
            session = ort.InferenceSession(model, settings, providers=[(provider, _PROVIDER_OPTIONS[provider])])
        except Exception as error:  # ONNX Runtime raises a class of its own for each of its codes
            raise cannot_load(network, "ONNX Runtime", error) from error
        if provider not in session.get_providers():  # it falls back to the CPU without an error
            raise NotAvailable(f"the runner {name} is not available here: ONNX Runtime found no device for {provider}")
        self._session = session
        self._names = [output.name for output in session.get_outputs()]

    def run(self, images: Images) -> Outputs:
        values = self._session.run(None, {INPUT: images})
        return {name: as_float32(value) for name, value in zip(self._names, values, strict=True)}

    def step(self, images: Images) -> Callable[[], object]:
        session, feed = self._session, {INPUT: images}
        return lambda: session.run(None, feed)

    def close(self) -> None:
        del self._session


def provider_problem(provider: str) -> str | None:
    """Why ONNX Runtime cannot use an execution provider here, or None."""
    if provider in ort.get_available_providers():
        return None
    return f"this build of ONNX Runtime has no {provider}"
