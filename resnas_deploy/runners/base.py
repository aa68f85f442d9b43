"""The protocols of a runner, of the networks that it runs and of the engines that it loads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput, first_line
from resnas_deploy.processes.resources import usable_cores as usable_cores  # for whoever opens runners
from resnas_deploy.system import here

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_HELD = re.compile(here.OPEN_FILE)  # how a runtime is told of a file that is held open, which is no user's name
# As text, so that the registry of the runners can be read without NumPy.
Images: TypeAlias = "NDArray[np.float32 | np.uint8]"  # as the network's input: (B, 3, S, S) normalised, or (B, S, S, 3)
Outputs: TypeAlias = "Mapping[str, NDArray[np.float32]]"


class Network(Protocol):
    """What a runner runs: an `Artifact`, or another network that is compared with one."""

    @property
    def source(self) -> str:
        """Where it comes from: a folder, as it was given, or a name."""
        ...

    @property
    def label(self) -> str:
        """What it is, for tables."""
        ...

    @property
    def digest(self) -> str:
        """The sha256 of the graph."""
        ...

    @property
    def precision(self) -> str:
        """The graph's, by its name in `precision.PRECISIONS`."""
        ...

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        ...

    @property
    def input(self) -> str:
        """What the graph takes, by its name in `inputs.INPUTS`."""
        ...

    @property
    def for_runner(self) -> str:
        """The one runner that the graph is written for, by its name; empty where any may run it."""
        ...

    @property
    def batch(self) -> BatchRange:
        """The batch sizes that the graph takes."""
        ...

    @property
    def arch(self) -> ArchSpec | None:
        """The architecture, where it is one of ours."""
        ...

    @property
    def model(self) -> Path:
        """The ONNX graph, of input `images` and output `logits`."""
        ...

    def module(self) -> torch.nn.Module:
        """Return the network as a PyTorch module, float32, in evaluation mode: `(B, 3, S, S)` to `(B, classes)`.

        It takes normalised images, whatever the graph takes.
        """
        ...


class EngineFile(Protocol):
    """A built engine, for the runners that load one."""

    @property
    def path(self) -> Path:
        """Where it is kept, for messages."""
        ...

    @property
    def file(self) -> Path:
        """The engine that was hashed, to read, whatever has its name by now."""
        ...

    @property
    def weights(self) -> Path | None:
        """The weights beside it that were hashed too, of a format that keeps them in a file of their own."""
        ...

    @property
    def digest(self) -> str:
        """The sha256 of all that was hashed; empty of what is not kept."""
        ...

    @property
    def made_of(self) -> Mapping[str, Any]:
        """Its identity, of which `builder` is the compiler and its version."""
        ...


class Runner(Protocol):
    """A network, loaded on a runtime and a device. A context manager: leaving it frees both."""

    name: str
    version: str  # of the runtime
    device: str  # cpu, or cuda:N and the GPU's name
    computes: str  # the precision that the operations really run in: a runtime may widen what the graph says
    boundary: str  # what lies inside the time of one `step`, and how the runtime was set up
    device_boundary: str = ""  # the same of one `device_step`; empty where there is none

    def run(self, images: Images) -> Outputs:
        """Run a batch. Return float32 arrays by name: `logits` `(B, classes)`, and the probes it was opened with."""
        ...

    def step(self, images: Images) -> Callable[[], object]:
        """Make all ready for timing: the function returned runs this batch once and waits for the result."""
        ...

    def device_step(self, images: Images) -> Callable[[], float] | None:
        """Make ready for timing without the copies between host and device, by the device's own clock, in seconds.

        None where the network runs on the host.
        """
        return None

    def profile(self, images: Images, runs: int) -> Mapping[str, float]:
        """Measure seconds of one run by operation, mean of `runs`, by the runtime's profiler. Needs `Options.profile`.

        The names begin with the element's, as in the graph (`stage1.block2.mlp.fc1.matmul`); `runners.profiling` tells
        how what the runtime named itself comes by one. Empty where the runtime cannot tell.
        """
        return {}

    def close(self) -> None:
        """Free the network and its device memory."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Options:
    """How to open a runner."""

    threads: int
    model: bytes | None = None  # stands in for the network's own graph, for example with probes as outputs
    shares_cores: bool = False  # with other runners that are timed interleaved: let threads sleep between runs
    at_once: bool = False  # runs while others of its kind do: threads must not be bound to the same cores
    device: str = ""  # cpu, cuda or cuda:N; the runner's usual one where it is empty
    cuda_graph: bool = False  # on a GPU: capture the network once and replay it
    profile: bool = False  # for `Runner.profile`; it may slow the runs down
    engine: EngineFile | None = None  # for a runner that loads one, which `engines.build` finds or builds
    engine_cache: str = ""  # a folder, for a runner that keeps what it builds in one; none: it builds at each opening
    tf32: bool = False  # on a GPU: let float32 be rounded to TF32's 10 bits in products and convolutions


def graph_of(network: Network) -> Path:
    """Return the graph to read: an artifact's is the one that was hashed, whatever has its name by now."""
    from resnas_deploy.artifact.artifact import Artifact

    return network.graph if isinstance(network, Artifact) else network.model


def excluded_from(network: Network) -> str:
    """Return what of an image's way a network's times do not hold, for their boundary."""
    return input_named(network.input).boundary(network.image_size)


def cannot(load_or_run: str, network: Network, runtime: str, error: Exception) -> BadInput:
    """Return what to raise where a runtime refuses a graph, or fails at running it, be it for want of memory."""
    told = _HELD.sub(lambda _: network.source, first_line(error, 300))
    return BadInput(f"{network.source}: {runtime} cannot {load_or_run} the graph: {told}")


def check_profiling(options: Options) -> None:
    """Raise `BadInput` where a runner is to be profiled that was not opened for it."""
    if not options.profile:
        raise BadInput("a runner must be opened with Options.profile to be profiled, found it opened without")


def as_float32(values: Any) -> NDArray[np.float32]:
    """Return a runtime's output as a float32 array of its own memory."""
    import numpy as np

    return np.array(values, dtype=np.float32)
