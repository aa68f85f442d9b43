"""PyTorch, eager, on the CPU: the plain module with the artifact's own weights. The reference of verification."""

from __future__ import annotations

from collections.abc import Callable

import torch

from resnas_deploy.artifact import OUTPUT
from resnas_deploy.runners.base import Images, Network, Options, Outputs, Runner

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class TorchRunner(Runner):
    """The module in the artifact's precision. It does not read the graph."""

    def __init__(self, network: Network, options: Options) -> None:
        self.name = "torch"
        self.version = f"torch {torch.__version__}"
        self.device = options.device
        self.computes = network.precision
        self.boundary = f"host to host, CPU, eager, {options.threads} threads, preprocessing excluded"
        self._dtype = _DTYPES[network.precision]
        self._model = network.module().to(self._dtype)
        torch.set_num_threads(options.threads)

    def run(self, images: Images) -> Outputs:
        with torch.inference_mode():
            return {OUTPUT: self._model(torch.from_numpy(images).to(self._dtype)).float().numpy()}

    def step(self, images: Images) -> Callable[[], object]:
        batch = torch.from_numpy(images)

        def once() -> object:
            with torch.inference_mode():
                return self._model(batch.to(self._dtype)).float()

        return once

    def close(self) -> None:
        del self._model
