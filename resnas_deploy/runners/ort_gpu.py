"""ONNX Runtime on CUDA or TensorRT: images and logits in the GPU's memory, and the time of a run there.

Memory and the stream are PyTorch's or cuda-python's. Where neither is here they are ONNX Runtime's own, which allocates
no pinned memory for Python and has no events: then the clock of a run on the GPU is the host's.
"""

from __future__ import annotations

import importlib.util
import io
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.errors import BadInput
from resnas_deploy.precision import TF32
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.runners.base import Images, Network, Options, Outputs, as_float32, cannot
from resnas_deploy.runners.devices import CUDA, CUDA_PROVIDER, TENSORRT_PROVIDER, device_name, has_memory, index
from resnas_deploy.runners.fitting import check_gpu, computed_by
from resnas_deploy.runners.gpu import GpuStream, open_stream
from resnas_deploy.runners.ort import OrtRunner, Provider
from resnas_deploy.runners.ort_tensorrt import caching, profile
from resnas_deploy.runners.staged import PINNED, Staged
from resnas_deploy.runners.tf32 import computed, may_have_float32, tensorrt_in_this_process

ort = import_quietly("onnxruntime")


class OrtGpuRunner(OrtRunner):
    """A session on one stream of a GPU."""

    def __init__(self, network: Network, options: Options, *, name: str, provider: str) -> None:
        if provider == TENSORRT_PROVIDER and options.cuda_graph and not network.batch.fixed:
            raise BadInput(
                f"a CUDA graph of the runner {name} must be of a network with one batch size, found {network.batch}; "
                "export it with a fixed `batch`, or leave `cuda_graph` out"
            )
        with ExitStack() as settings:
            rounds = options.tf32
            if built := options.engine:
                check_gpu(built.path.name, built.made_of, device_name(options.device))
                rounds = computed_by(network.precision, built.path.name, built.made_of, asked=rounds) == TF32
            elif provider == TENSORRT_PROVIDER and may_have_float32(network.precision):
                rounds = settings.enter_context(tensorrt_in_this_process(tf32=rounds))
            self._stream = open_stream(options.device) if has_memory() else None
            try:
                self._open_on_gpu(network, options, name, provider, rounds=rounds)
            except BaseException:
                if self._stream:
                    self._stream.close()
                raise
            self.computes = computed(network.precision, tf32=rounds)
            self._settings = settings.pop_all()

    def _open_on_gpu(self, network: Network, options: Options, name: str, provider: str, *, rounds: bool) -> None:
        load_libraries(provider)
        self._number = index(options.device)
        cuda, self._staged = {"device_id": str(self._number)}, None
        if self._stream:
            self._staged = Staged(self._stream, partial(self._prepare, self._stream), captured=False)
            cuda["user_compute_stream"] = str(self._stream.handle)
        providers = [_cuda_provider(cuda, graph=options.cuda_graph and provider == CUDA_PROVIDER, tf32=options.tf32)]
        if provider == TENSORRT_PROVIDER:
            providers.insert(0, _tensorrt_provider(cuda, network, options, rounds=rounds))
        super().__init__(network, options, name=name, providers=providers)
        self.device = device_name(options.device)
        graph = ", captured CUDA graph" if options.cuda_graph else ""
        self.boundary += f", {PINNED if self._stream else 'pageable host memory'}{graph}"
        clock = "CUDA events" if self._stream else "the host's clock"
        self.device_boundary = f"device only, {provider}, {clock}, one stream{graph}"
        self._bindings: dict[int, _Binding] = {}

    def run(self, images: Images) -> Outputs:
        if self._names != [OUTPUT]:  # with probes, which nobody times
            return super().run(images)
        if self._staged:
            return {OUTPUT: as_float32(self._staged.run(images))}
        if not self._options.cuda_graph:
            return super().run(images)
        return {OUTPUT: as_float32(self._binding(images)(images))}

    def step(self, images: Images) -> Callable[[], object]:
        if self._staged:
            return self._staged.step(images)
        if not self._options.cuda_graph:
            return super().step(images)
        binding = self._binding(images)
        return lambda: binding(images)

    def device_step(self, images: Images) -> Callable[[], float]:
        if self._staged:
            return self._staged.device_step(images)
        binding = self._binding(images)
        binding(images)

        def by_host() -> float:
            began = time.perf_counter()
            binding.run()
            return time.perf_counter() - began

        return by_host

    def profile(self, images: Images, runs: int) -> Mapping[str, float]:
        del images, runs
        return {}  # its profiler sees the launches of kernels, not the kernels

    def close(self) -> None:
        del self._bindings
        with self._settings:  # as before, whatever becomes of the GPU
            if self._staged:
                self._staged.close(before_freeing=super().close)
            else:
                super().close()

    def _binding(self, images: Images) -> _Binding:
        """Return the buffers of this batch size; with a CUDA graph, the graph that was captured over them too."""
        if len(images) not in self._bindings:
            self._bindings[len(images)] = _Binding(self._session, images, self._number, self._options.cuda_graph)
        return self._bindings[len(images)]

    def _prepare(self, stream: GpuStream[Any], images: Any) -> Callable[[], Any]:
        """Bind images that lie there, and memory for their logits."""
        logits = stream.memory((images.shape[0], _classes(self._session)), np.float32)
        bound, settings = self._session.io_binding(), ort.RunOptions()
        for bind, name, memory in ((bound.bind_input, INPUT, images), (bound.bind_output, OUTPUT, logits)):
            bind(name, CUDA, self._number, memory.dtype, memory.shape, memory.address)
        if self._options.cuda_graph:
            settings.add_run_config_entry(*_graph_of(images.shape[0]))
        settings.add_run_config_entry("disable_synchronize_execution_providers", "1")

        def enqueue() -> Any:
            try:
                self._session.run_with_iobinding(bound, settings)
            except Exception as error:  # of ONNX Runtime, a class for each of its codes
                raise cannot("run", self._network, "ONNX Runtime", error) from error
            return logits

        return enqueue


class _Binding:
    """Images, as the network takes them, and logits `(B, classes)` of one batch size, in a GPU's memory."""

    def __init__(self, session: Any, images: Images, number: int, graph: bool) -> None:
        self._session = session
        self._images = ort.OrtValue.ortvalue_from_numpy(images, CUDA, number)
        shape = len(images), _classes(session)
        self._logits = ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, CUDA, number)
        self._bound = session.io_binding()
        self._bound.bind_ortvalue_input(INPUT, self._images)
        self._bound.bind_ortvalue_output(OUTPUT, self._logits)
        self._waits = ort.RunOptions()
        if graph:
            self._waits.add_run_config_entry(*_graph_of(len(images)))

    def __call__(self, images: Images) -> Any:
        """Copy the images in, run, copy the logits out."""
        self._images.update_inplace(images)
        self.run()
        return self._logits.numpy()

    def run(self) -> None:
        """Run once and wait."""
        self._session.run_with_iobinding(self._bound, self._waits)


def _classes(session: Any) -> int:
    return int(next(output.shape[-1] for output in session.get_outputs() if output.name == OUTPUT))


def _graph_of(batch: int) -> tuple[str, str]:
    """Return the setting of a run that has one graph for each batch size."""
    return "gpu_graph_id", str(batch)


def _cuda_provider(common: Mapping[str, str], *, graph: bool, tf32: bool) -> Provider:
    # Where use_tf32 is not said, it is on, which is not what the graph says.
    return CUDA_PROVIDER, {**common, "use_tf32": str(int(tf32)), "enable_cuda_graph": str(graph)}


def _tensorrt_provider(common: Mapping[str, str], network: Network, options: Options, *, rounds: bool) -> Provider:
    """Return the provider with no option of a precision: it builds a strongly typed network, of the graph's types."""
    if options.engine:  # which has its batch sizes in it
        return TENSORRT_PROVIDER, {**common, "trt_cuda_graph_enable": str(options.cuda_graph)}
    cached = caching(Path(options.engine_cache), network, rounds=rounds) if options.engine_cache else {}
    graph = {"trt_cuda_graph_enable": str(options.cuda_graph)}
    return TENSORRT_PROVIDER, {**common, **graph, **profile(network), **cached}


def load_libraries(provider: str) -> None:
    """Load NVIDIA's libraries from their Python packages, where the linker would not find them."""
    with redirect_stdout(io.StringIO()):  # it prints what it does not find, and may not need
        ort.preload_dlls()
    if provider == TENSORRT_PROVIDER and importlib.util.find_spec("tensorrt"):
        importlib.import_module("tensorrt")
