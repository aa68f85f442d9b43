"""Engines of TensorRT and of TensorRT for RTX, which are handed in. Buffers are PyTorch's.

The two modules share the calls that are used here; tests hold them to the names in the real bindings. No machine with a
GPU and either module has run this yet.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.errors import BadInput
from resnas_deploy.runners.base import EngineFile, Images, Network, Options, Outputs, Runner
from resnas_deploy.runners.devices import device_name
from resnas_deploy.runners.torch_cuda import CapturedGraph, timed_on_device


class TensorRTRunner(Runner):
    """An engine with one execution context on one stream."""

    def __init__(self, network: Network, options: Options, *, name: str, module: str) -> None:
        if options.engine is None:
            raise BadInput(f"the runner {name} must be handed an engine of {network.source}, found none")
        self.name, self.version = name, str(options.engine.made_of["builder"])
        self.device, self.computes = device_name(options.device), network.precision
        self._options, self._device = options, torch.device(options.device)
        with ExitStack() as settings:
            settings.enter_context(torch.cuda.device(self._device))
            self._engine, self._context = _load(importlib.import_module(module), options.engine)
            self._settings = settings.pop_all()
        graph = ", captured CUDA graph" if options.cuda_graph else ""
        self.boundary = f"host to host, CUDA, pageable host memory{graph}, engine, preprocessing excluded"
        self.device_boundary = f"device only, engine, CUDA events, one stream{graph}"
        self._graphs: dict[int, CapturedGraph] = {}

    def run(self, images: Images) -> Outputs:
        return {OUTPUT: self._forward(torch.from_numpy(images).to(self._device)).cpu().numpy()}

    def step(self, images: Images) -> Callable[[], object]:
        batch = torch.from_numpy(images)
        if self._options.cuda_graph:
            graph = self._graph(batch)
            return lambda: graph(batch).cpu()
        return lambda: self._forward(batch.to(self._device)).cpu()

    def device_step(self, images: Images) -> Callable[[], float]:
        batch = torch.from_numpy(images).to(self._device)
        if self._options.cuda_graph:
            graph = self._graph(batch)
            graph.load(batch)
            return timed_on_device(graph.replay, self._device)
        return timed_on_device(lambda: self._forward(batch), self._device)

    def close(self) -> None:
        self._settings.close()
        del self._graphs, self._context, self._engine

    def _forward(self, images: Tensor) -> Tensor:
        """Enqueue the engine on the current stream; logits `(B, classes)` on the device."""
        images = images.contiguous()
        self._context.set_input_shape(INPUT, tuple(images.shape))
        logits = torch.empty(tuple(self._context.get_tensor_shape(OUTPUT)), device=self._device)
        self._context.set_tensor_address(INPUT, images.data_ptr())
        self._context.set_tensor_address(OUTPUT, logits.data_ptr())
        if not self._context.execute_async_v3(torch.cuda.current_stream(self._device).cuda_stream):
            raise BadInput(f"the engine refused a batch of {len(images)}; build one whose profile holds it")
        return logits

    def _graph(self, images: Tensor) -> CapturedGraph:
        if len(images) not in self._graphs:
            self._graphs[len(images)] = CapturedGraph(self._forward, images.to(self._device))
        return self._graphs[len(images)]


def _load(trt: Any, built: EngineFile) -> tuple[Any, Any]:
    """Return an engine and a context. Raise `BadInput` where the runtime refuses: another version, another GPU."""
    runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
    engine = runtime.deserialize_cuda_engine(built.file.read_bytes())
    context = engine.create_execution_context() if engine else None
    if context is None:
        raise BadInput(
            f"{built.path} must be for this GPU and this version of {trt.__name__} ({trt.__version__}), found that "
            "it cannot be loaded; build it here by `build()`"
        )
    return engine, context
