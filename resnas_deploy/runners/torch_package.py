"""AOTInductor packages: a network compiled ahead of time, which PyTorch alone can load, from Python or C++."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from resnas_deploy.errors import BadInput
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.runners.base import Network

_NO_LIMIT = 1_000_000  # of what one function is compiled for: a batch size each, of each network of this process


def write_package(module: nn.Module, network: Network, device: torch.device, path: Path) -> None:
    """Compile a module, images to logits, for the network's whole batch range into a file that ends in `.pt2`."""
    batch, size = network.batch, network.image_size
    count = max(batch.least, min(2, batch.most))  # an example of one image would be taken for a fixed batch
    example = torch.zeros(count, 3, size, size, device=device)
    dynamic = None if batch.fixed else ({0: torch.export.Dim("batch", min=batch.least, max=batch.most)},)
    with compiling(network, "AOTInductor"), torch.no_grad():
        program = torch.export.export(module, (example,), dynamic_shapes=dynamic)
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))


def load_package(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """What a package computes. It must be given batches of its range alone: it would read beyond others."""
    # The logic that lets several threads share a package is in the way of a CUDA graph.
    loaded = torch._inductor.aoti_load_package(
        str(path), run_single_threaded=True, device_index=-1 if device.index is None else device.index
    )
    return cast(Callable[[Tensor], Tensor], loaded)


@contextmanager
def compiling(network: Network, what: str) -> Iterator[None]:
    """Let the compiler warn of its own code as it likes, and say in one line what it refuses."""
    limits = {"recompile_limit": _NO_LIMIT, "accumulated_recompile_limit": _NO_LIMIT}
    try:
        with ending_with_us(), warnings.catch_warnings(), torch._dynamo.config.patch(limits):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # of the compiler, and of what it calls
        message = " ".join(str(error).split())[:300]
        raise BadInput(f"{network.source}: {what} cannot compile the network: {message}") from error
