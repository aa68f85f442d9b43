"""Engines of TensorRT and of TensorRT for RTX, which are handed in, on a stream by PyTorch or by cuda-python."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.errors import BadInput
from resnas_deploy.runners.base import Images, Network, Options, Outputs, Runner, as_float32, excluded_from
from resnas_deploy.runners.devices import device_name
from resnas_deploy.runners.fitting import check_gpu, computed_by
from resnas_deploy.runners.gpu import open_stream
from resnas_deploy.runners.staged import Staged, device_boundary, staged_boundary
from resnas_deploy.runners.tensorrt_engine import Context, load_engine


class TensorRTRunner(Runner):
    """An engine on a stream of its own, with an execution context for each batch size.

    Contexts that are launched run one after the other and share their activation memory. One that is captured in a
    CUDA graph has its own: a graph may be replayed at any time.
    """

    def __init__(self, network: Network, options: Options, *, name: str, module: str) -> None:
        if options.engine is None:
            raise BadInput(f"the runner {name} must be handed an engine of {network.source}, found none")
        built = options.engine
        self.name, self.version = name, str(built.made_of["builder"])
        self.device = device_name(options.device)
        self.computes = computed_by(network.precision, built.path.name, built.made_of, asked=options.tf32)
        check_gpu(built.path.name, built.made_of, self.device)
        self._captured = options.cuda_graph
        self._stream = open_stream(options.device)
        with ExitStack() as failed:
            failed.callback(self._stream.close)
            with self._stream.current():
                self._loaded = load_engine(module, built, options.device)
                self._memory_bytes = max(1, int(self._loaded.engine.device_memory_size_v2))
            failed.pop_all()
        self._shared: Any = None  # activation memory of the contexts that are launched
        self._staged = Staged(self._stream, self._prepare, captured=self._captured)
        self.boundary = staged_boundary("engine", self._captured, excluded_from(network))
        self.device_boundary = device_boundary("engine", self._captured)

    def run(self, images: Images) -> Outputs:
        self._loaded.check_images(images)
        return {OUTPUT: as_float32(self._staged.run(images))}

    def step(self, images: Images) -> Callable[[], object]:
        self._loaded.check_images(images)
        return self._staged.step(images)

    def device_step(self, images: Images) -> Callable[[], float]:
        self._loaded.check_images(images)
        return self._staged.device_step(images)

    def close(self) -> None:
        self._staged.close()
        del self._loaded, self._shared

    def _prepare(self, images: Any) -> Callable[[], Any]:
        """Make a context for images that lie there, and run it once."""
        profile = self._loaded.profile_for(images.shape[0])
        context = Context(self._loaded, self._stream, images, profile, self._activations())
        context.warm_up(captured=self._captured)
        return context

    def _activations(self) -> Any:
        if self._captured:
            return self._stream.memory((self._memory_bytes,), np.uint8)
        if self._shared is None:
            self._shared = self._stream.memory((self._memory_bytes,), np.uint8)
        return self._shared
