"""ONNX Runtime on CUDA or TensorRT: images and logits in the GPU's memory, and the time of a run there."""

from __future__ import annotations

import importlib.util
import io
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stdout
from typing import Any

import numpy as np

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.errors import BadInput
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.runners.base import Images, Network, Options, Outputs, as_float32
from resnas_deploy.runners.devices import CUDA_PROVIDER, TENSORRT_PROVIDER, device_name, index
from resnas_deploy.runners.ort import OrtRunner, Provider
from resnas_deploy.runners.tf32 import computed, may_have_float32, tensorrt_in_this_process

ort = import_quietly("onnxruntime")


class OrtGpuRunner(OrtRunner):
    """A session on one stream of a GPU. Where PyTorch is here with CUDA, that stream and its events are PyTorch's."""

    def __init__(self, network: Network, options: Options, *, name: str, provider: str) -> None:
        if provider == TENSORRT_PROVIDER and options.cuda_graph and not network.batch.fixed:
            raise BadInput(
                f"a CUDA graph of the runner {name} must be of a network with one batch size, found {network.batch}; "
                "export it with a fixed `batch`, or leave `cuda_graph` out"
            )
        with ExitStack() as settings:
            rounds = options.tf32
            if provider == TENSORRT_PROVIDER and may_have_float32(network.precision):
                rounds = settings.enter_context(tensorrt_in_this_process(tf32=rounds))
            self._open_on_gpu(network, options, name, provider)
            self.computes = computed(network.precision, tf32=rounds)
            self._settings = settings.pop_all()

    def _open_on_gpu(self, network: Network, options: Options, name: str, provider: str) -> None:
        _load_libraries(provider)
        self._number = index(options.device)
        self._torch = _torch_with_cuda()
        self._stream = self._torch.cuda.Stream(self._number) if self._torch else None
        cuda = {"device_id": str(self._number)}
        if self._stream:
            cuda["user_compute_stream"] = str(self._stream.cuda_stream)
        providers = [_cuda_provider(cuda, graph=options.cuda_graph and provider == CUDA_PROVIDER, tf32=options.tf32)]
        if provider == TENSORRT_PROVIDER:
            providers.insert(0, _tensorrt_provider(cuda, network, graph=options.cuda_graph))
        super().__init__(network, options, name=name, providers=providers)
        self.device = device_name(options.device)
        graph = ", captured CUDA graph" if options.cuda_graph else ""
        self.boundary += f", pageable host memory{graph}"
        clock = "CUDA events" if self._stream else "the host's clock"
        self.device_boundary = f"device only, {provider}, {clock}, one stream{graph}"
        self._bindings: dict[int, _Binding] = {}

    def run(self, images: Images) -> Outputs:
        if not self._options.cuda_graph:
            return super().run(images)
        return {OUTPUT: as_float32(self._binding(images)(images))}

    def step(self, images: Images) -> Callable[[], object]:
        if not self._options.cuda_graph:
            return super().step(images)
        binding = self._binding(images)
        return lambda: binding(images)

    def device_step(self, images: Images) -> Callable[[], float]:
        binding = self._binding(images)
        binding(images)
        if not self._torch or not self._stream:

            def by_host() -> float:
                began = time.perf_counter()
                binding.run()
                return time.perf_counter() - began

            return by_host

        stream = self._stream
        before, after = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))

        def by_events() -> float:
            before.record(stream)
            binding.enqueue()
            after.record(stream)
            after.synchronize()
            return float(before.elapsed_time(after)) / 1e3

        return by_events

    def profile(self, images: Images, runs: int) -> Mapping[str, float]:
        del images, runs
        return {}  # its profiler sees the launches of kernels, not the kernels

    def close(self) -> None:
        del self._bindings
        super().close()
        self._settings.close()

    def _binding(self, images: Images) -> _Binding:
        """Return the buffers of this batch size; with a CUDA graph, the graph that was captured over them too."""
        if len(images) not in self._bindings:
            self._bindings[len(images)] = _Binding(self._session, images, self._number, self._options.cuda_graph)
        return self._bindings[len(images)]


class _Binding:
    """Images `(B, 3, S, S)` and logits `(B, classes)` of one batch size, in a GPU's memory, and runs over them."""

    def __init__(self, session: Any, images: Images, number: int, graph: bool) -> None:
        self._session = session
        self._images = ort.OrtValue.ortvalue_from_numpy(images, "cuda", number)
        classes = next(output.shape[-1] for output in session.get_outputs() if output.name == OUTPUT)
        self._logits = ort.OrtValue.ortvalue_from_shape_and_type((len(images), classes), np.float32, "cuda", number)
        self._bound = session.io_binding()
        self._bound.bind_ortvalue_input(INPUT, self._images)
        self._bound.bind_ortvalue_output(OUTPUT, self._logits)
        self._waits, self._goes_on = ort.RunOptions(), ort.RunOptions()
        for settings in (self._waits, self._goes_on) if graph else ():
            settings.add_run_config_entry("gpu_graph_id", str(len(images)))  # one graph for each batch size
        self._goes_on.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def __call__(self, images: Images) -> Any:
        """Copy the images in, run, copy the logits out."""
        self._images.update_inplace(images)
        self.run()
        return self._logits.numpy()

    def run(self) -> None:
        """Run once and wait."""
        self._session.run_with_iobinding(self._bound, self._waits)

    def enqueue(self) -> None:
        """Put one run on the session's stream."""
        self._session.run_with_iobinding(self._bound, self._goes_on)


def _cuda_provider(common: Mapping[str, str], *, graph: bool, tf32: bool) -> Provider:
    # Where use_tf32 is not said, it is on, which is not what the graph says.
    return CUDA_PROVIDER, {**common, "use_tf32": str(int(tf32)), "enable_cuda_graph": str(graph)}


def _tensorrt_provider(common: Mapping[str, str], network: Network, *, graph: bool) -> Provider:
    """Return the provider with no option of a precision: it builds a strongly typed network, of the graph's types."""
    options = {**common, "trt_cuda_graph_enable": str(graph)}
    if not network.batch.fixed:  # else it would build again for each new batch size
        for what, batch in (("min", network.batch.least), ("opt", network.batch.most), ("max", network.batch.most)):
            options[f"trt_profile_{what}_shapes"] = f"{INPUT}:{batch}x3x{network.image_size}x{network.image_size}"
    return TENSORRT_PROVIDER, options


def _load_libraries(provider: str) -> None:
    """Load NVIDIA's libraries from their Python packages, where the linker would not find them."""
    with redirect_stdout(io.StringIO()):  # it prints what it does not find, and may not need
        ort.preload_dlls()
    if provider == TENSORRT_PROVIDER and importlib.util.find_spec("tensorrt"):
        importlib.import_module("tensorrt")


def _torch_with_cuda() -> Any:
    """Return PyTorch, where it is here and can use a GPU."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch if torch.cuda.is_available() else None
