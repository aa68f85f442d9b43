"""PyTorch's compiler, in process (`torch-compile`) or as a package for deployment (`aoti`), on the weights.

Neither can be profiled by element: one kernel may be of several.
"""

from __future__ import annotations

from contextlib import ExitStack

import torch
from torch import Tensor

from resnas_deploy.errors import BadInput
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.runners.base import Network, Options
from resnas_deploy.runners.torch import Forward, TorchRunner
from resnas_deploy.runners.torch_package import compiling, load_package, write_package


class CompiledRunner(TorchRunner):
    """`torch.compile`, once for each batch size that it is given."""

    def __init__(self, network: Network, options: Options) -> None:
        super().__init__("torch-compile", "compiled for the batch size", network, options)
        self._compiled = torch.compile(self._module, fullgraph=True, dynamic=False)
        self._sizes = set[int]()

    def forward(self, images: Tensor) -> Forward:
        if len(images) not in self._sizes:
            with compiling(self._network, "torch.compile"), torch.inference_mode():
                self._compiled(images)
            self._sizes.add(len(images))
        return self._compiled

    def close(self) -> None:
        del self._compiled
        super().close()


class AotiRunner(TorchRunner):
    """`torch.export`, then AOTInductor: one package for the network's whole batch range."""

    def __init__(self, network: Network, options: Options) -> None:
        batch = network.batch
        super().__init__("aoti", f"AOTInductor package for batch {batch}", network, options)
        self._folder = ExitStack()
        try:
            path = self._folder.enter_context(scratch_folder("aoti")) / "network.pt2"
            write_package(self._module, network, self._device, path)
            self._package = load_package(path, self._device)
        except BaseException:
            self._folder.close()
            super().close()
            raise

    def forward(self, images: Tensor) -> Forward:
        if len(images) not in self._network.batch:  # the package would read beyond the images
            raise BadInput(
                f"the batch of a package must be in the network's range {self._network.batch}, found {len(images)}"
            )
        return self._package

    def close(self) -> None:
        del self._package
        self._folder.close()
        super().close()
