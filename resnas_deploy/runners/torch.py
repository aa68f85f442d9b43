"""PyTorch on the artifact's own weights, not on the graph: eager, and what its compiled ways share.

Eager in fp32 on the CPU is the reference of verification.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TypeGuard, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.inputs import UINT8
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.network.fused import fuse_reductions, fusion_problem
from resnas_deploy.network.levels import Normalising
from resnas_deploy.network.module import ViTResNAS
from resnas_deploy.precision import precision_named
from resnas_deploy.runners.base import (
    Images,
    Network,
    Options,
    Outputs,
    Runner,
    as_float32,
    check_profiling,
    excluded_from,
)
from resnas_deploy.runners.devices import CPU, device_name
from resnas_deploy.runners.gpu_torch import TorchMemory, TorchStream
from resnas_deploy.runners.staged import Staged, device_boundary, staged_boundary
from resnas_deploy.runners.tf32 import computed
from resnas_deploy.runners.torch_profile import module_seconds
from resnas_deploy.runners.torch_settings import exact_on, torch_threads

Forward = Callable[[Tensor], Tensor]  # images as the network takes them to logits (B, classes), float32, on the device


class InPrecision(nn.Module):
    """A network in another type than float32, between images and logits in float32; `front` normalises levels first."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, front: nn.Module | None = None) -> None:
        super().__init__()
        self.front = front or nn.Identity()
        self.network, self.dtype = network.to(dtype), dtype

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.network(self.front(images).to(self.dtype))).float()


def module_on(network: Network, device: torch.device) -> InPrecision:
    """Return the network's module in its precision on a device; on a GPU with fused reductions, where it can.

    It takes what the network's graph takes.
    """
    module = network.module()
    if device.type != CPU and isinstance(module, ViTResNAS) and fusion_problem(device) is None:
        module = fuse_reductions(module)
    front = Normalising(network.manifest.preprocessing) if takes_levels(network) else None
    return InPrecision(module, precision_named(network.precision).torch, front).to(device)


def takes_levels(network: Network) -> TypeGuard[Artifact]:
    """Tell whether a network takes uint8 images, which only artifacts do."""
    return network.input == UINT8.name and isinstance(network, Artifact)


class TorchRunner(Runner):
    """The module in the artifact's precision, on the CPU or a GPU. Each way of running it has its `forward`."""

    def __init__(self, network: Network, options: Options, *, name: str, way: str) -> None:
        self.name = name
        self.version = f"torch {torch.__version__}"
        self.device = device_name(options.device)
        self.computes = computed(network.precision, tf32=options.tf32)
        self._network, self._options, self._device = network, options, torch.device(options.device)
        if options.device == CPU:
            self.boundary = f"host to host, CPU, {way}, {options.threads} threads, {excluded_from(network)}"
        else:
            if network.arch is not None and fusion_problem(self._device) is None:
                way = f"{way}, reductions with a fused kernel"
            self.boundary = staged_boundary(
                f"{way}, {options.threads} threads", options.cuda_graph, excluded_from(network)
            )
            self.device_boundary = device_boundary(way, options.cuda_graph)
        self._staged: Staged[TorchMemory] | None = None
        with ExitStack() as settings:
            settings.enter_context(torch_threads(options.threads))
            settings.enter_context(exact_on(self._device, tf32=options.tf32))
            self._module = self.load()
            self._settings = settings.pop_all()  # as they were before once the runner is closed

    def load(self) -> InPrecision:
        """Return the module to run."""
        return module_on(self._network, self._device)

    @abstractmethod
    def forward(self, images: Tensor) -> Forward:
        """Return what runs a batch like this one; all that it has to do once is done."""

    def run(self, images: Images) -> Outputs:
        return {OUTPUT: as_float32(self.step(images)())}

    def step(self, images: Images) -> Callable[[], object]:
        if self._options.device != CPU:
            return self._on_gpu().step(images)
        batch = torch.from_numpy(images)
        forward = self.forward(batch)

        def once() -> NDArray[np.float32]:
            with torch.inference_mode():
                return cast(NDArray[np.float32], forward(batch).numpy())

        return once

    def device_step(self, images: Images) -> Callable[[], float] | None:
        return None if self._options.device == CPU else self._on_gpu().device_step(images)

    def close(self) -> None:
        with self._settings:  # as before, whatever becomes of the GPU
            if self._staged:
                self._staged.close()
        del self._module, self._staged

    def _on_gpu(self) -> Staged[TorchMemory]:
        """Return the batches on the GPU; their stream begins after all that was loaded when it is first asked for."""
        if self._staged is None:
            stream = TorchStream(self._options.device)
            self._staged = Staged(stream, self._prepare, captured=self._options.cuda_graph)
        return self._staged

    def _prepare(self, images: TorchMemory) -> Callable[[], TorchMemory]:
        forward = self.forward(images.tensor)
        return lambda: TorchMemory(forward(images.tensor))


class EagerRunner(TorchRunner):
    """The module as it is."""

    def __init__(self, network: Network, options: Options, *, name: str) -> None:
        super().__init__(network, options, name=name, way="eager")

    def forward(self, images: Tensor) -> Forward:
        del images
        return self._module

    def profile(self, images: Images, runs: int) -> Mapping[str, float]:
        check_profiling(self._options)
        batch = torch.from_numpy(images).to(self._device)
        with torch.inference_mode():
            return module_seconds(self._module.network, lambda: self._module(batch), runs, self._device)
