"""PyTorch's compiler, in process (`torch-compile`) or as a package for deployment (`aoti`), on the weights.

AOTInductor compiles its packages ahead of time; PyTorch alone can load them, from Python or C++. Neither way can be
profiled by element: one kernel may be of several.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.errors import BadInput, first_line
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.runners.base import EngineFile, Network, Options
from resnas_deploy.runners.torch import Forward, InPrecision, TorchRunner, module_on

_PACKAGE = ".pt2"
_NO_LIMIT = 1_000_000  # of what one function is compiled for: a batch size each, of each network of this process


class CompiledRunner(TorchRunner):
    """`torch.compile`, once for each batch size that it is given; `mode` is one of its own, or its usual one."""

    def __init__(self, network: Network, options: Options, *, name: str, mode: str | None = None) -> None:
        way = "compiled for the batch size" + (f", mode {mode}" if mode else "")
        super().__init__(network, options, name=name, way=way)
        self._compiled = torch.compile(self._module, fullgraph=True, dynamic=False, mode=mode)
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
    """A package of AOTInductor for the network's whole batch range: the one that is handed in, as it was built.

    A network that is no artifact keeps no package: it is compiled into one for as long as the runner is open.
    """

    def __init__(self, network: Network, options: Options, *, name: str) -> None:
        super().__init__(network, options, name=name, way=f"AOTInductor package for batch {network.batch}")
        self._folder = ExitStack()
        try:
            path = self._folder.enter_context(scratch_folder("aoti")) / f"network{_PACKAGE}"
            if options.engine and options.engine.file.suffix == _PACKAGE:  # its own name, where no other leads to it
                path = options.engine.file
            elif options.engine:
                path.symlink_to(options.engine.file)  # the loader insists on the suffix
            else:
                write_package(module_on(network, self._device), network, self._device, path)
            with _refused(network, options.engine):
                self._package = load_package(path, self._device)
        except BaseException:
            self._folder.close()
            self._settings.close()
            raise

    def load(self) -> InPrecision:
        return InPrecision(nn.Identity(), torch.float32)  # what runs is the package

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


@contextmanager
def _refused(network: Network, engine: EngineFile | None) -> Iterator[None]:
    """Say in one line where PyTorch cannot load a package."""
    try:
        yield
    except Exception as error:  # of the loader, and of what it links
        path = engine.path if engine else network.source
        raise BadInput(
            f"{path}: PyTorch {torch.__version__} cannot load the package: {first_line(error, 300)}; "
            "build it here by `build()`"
        ) from error


def write_package(module: nn.Module, network: Network, device: torch.device, path: Path) -> None:
    """Compile a module, images to logits, for the network's whole batch range into a file that ends in `.pt2`."""
    batch, size = network.batch, network.image_size
    count = batch.nearest(2)  # an example of one image would be taken for a fixed batch
    kind = input_named(network.input)
    example = torch.zeros(kind.shape(count, size), dtype=getattr(torch, kind.name), device=device)
    dynamic = None if batch.fixed else ({0: torch.export.Dim("batch", min=batch.least, max=batch.most)},)
    # Else the loops keep the number of threads that PyTorch has now, whoever loads the package.
    any_threads = torch._inductor.config.patch({"cpp.dynamic_threads": True})
    with compiling(network, "AOTInductor"), torch.no_grad(), any_threads:
        program = torch.export.export(module, (example,), dynamic_shapes=dynamic)
        torch._inductor.aoti_compile_and_package(program, package_path=str(path))


def load_package(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Load what a package computes. It must be given batches of its range alone: it would read beyond others."""
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
