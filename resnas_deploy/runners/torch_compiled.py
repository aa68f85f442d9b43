"""PyTorch's compiler, in process (`torch-compile`) or as a package for deployment (`aoti`), on the weights.

Neither can be profiled by element: one kernel may be of several.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from resnas_deploy.errors import BadInput
from resnas_deploy.runners.base import Network, Options
from resnas_deploy.runners.torch import Forward, TorchRunner

_NO_LIMIT = 1_000_000  # of what one function is compiled for: a batch size each, of each network of this process


class CompiledRunner(TorchRunner):
    """`torch.compile`, once for each batch size that it is given."""

    def __init__(self, network: Network, options: Options) -> None:
        super().__init__("torch-compile", "compiled for the batch size", network, options)
        self._compiled = torch.compile(self._module, fullgraph=True, dynamic=False)
        self._sizes = set[int]()

    def forward(self, images: Tensor) -> Forward:
        if len(images) not in self._sizes:
            with _compiling(self._network, "torch.compile"), torch.inference_mode():
                self._compiled(images)
            self._sizes.add(len(images))
        return self._compiled

    def close(self) -> None:
        del self._compiled
        super().close()


class AotiRunner(TorchRunner):
    """`torch.export`, then AOTInductor: one package for the network's whole batch range."""

    def __init__(self, network: Network, options: Options) -> None:
        batch, size = network.batch, network.image_size
        super().__init__("aoti", f"AOTInductor package for batch {batch}", network, options)
        index = self._device.index
        count = max(batch.least, min(2, batch.most))  # an example of one image would be taken for a fixed batch
        example = torch.zeros(count, 3, size, size, device=self._device)
        dynamic = None if batch.fixed else ({0: torch.export.Dim("batch", min=batch.least, max=batch.most)},)
        self._folder = tempfile.TemporaryDirectory(prefix="resnas-aoti-")
        try:
            with _compiling(network, "AOTInductor"), torch.no_grad():
                program = torch.export.export(self._module, (example,), dynamic_shapes=dynamic)
                package = torch._inductor.aoti_compile_and_package(
                    program, package_path=str(Path(self._folder.name) / "network.pt2")
                )
                # The logic that lets several threads share a package is in the way of a CUDA graph.
                self._package = torch._inductor.aoti_load_package(
                    package, run_single_threaded=True, device_index=-1 if index is None else index
                )
        except BaseException:
            self._folder.cleanup()
            raise

    def forward(self, images: Tensor) -> Forward:
        if len(images) not in self._network.batch:  # the package would read beyond the images
            raise BadInput(
                f"the batch of a package must be in the network's range {self._network.batch}, found {len(images)}"
            )
        return cast(Forward, self._package)

    def close(self) -> None:
        del self._package
        self._folder.cleanup()
        super().close()


@contextmanager
def _compiling(network: Network, what: str) -> Iterator[None]:
    """Let the compiler warn of its own code as it likes, and say in one line what it refuses."""
    limits = {"recompile_limit": _NO_LIMIT, "accumulated_recompile_limit": _NO_LIMIT}
    try:
        with warnings.catch_warnings(), torch._dynamo.config.patch(limits):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # of the compiler, and of what it calls
        message = " ".join(str(error).split())[:300]
        raise BadInput(f"{network.source}: {what} cannot compile the network: {message}") from error
