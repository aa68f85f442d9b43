"""The protocol of a runner, and what is known of one before it is opened."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput, NotAvailable, PackageMissing, first_line, shown
from resnas_deploy.processes.resources import usable_cores as usable_cores  # for whoever opens runners
from resnas_deploy.runners.devices import CPU, CUDA, device_kind, no_problem, parse_device, precision_problem
from resnas_deploy.runners.tf32 import check_override, may_have_float32

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_HELD = re.compile(r"/proc/self/fd/\d+")  # how a runtime is told of a file that is held open, which is no user's name
CACHING = "ort-tensorrt"  # the runner that builds when it is opened, and can keep what it built

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


@dataclass(frozen=True)
class Opener:
    """The class of a runner, `module:Class` of this room, with parameters of its own. It is imported when called."""

    path: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The full name of the module that it imports."""
        return f"{__package__}.{self.path.partition(':')[0]}"

    def __call__(self, network: Network, options: Options) -> Runner:
        """Open a network."""
        name = self.path.partition(":")[2]
        opened: Runner = getattr(importlib.import_module(self.module), name)(network, options, **self.parameters)
        return opened


@dataclass(frozen=True)
class RunnerKind:
    """A runner that could be opened, here or elsewhere."""

    name: str
    summary: str
    module: str  # that must be importable
    install: str  # the command that provides it
    precisions: Mapping[str, str]  # precision: how it runs it
    open_network: Callable[[Network, Options], Runner]
    device_problem: Callable[[str], str | None] = no_problem  # why not on that device, with its package here
    build_problem: Callable[[str], str | None] = no_problem  # why not with that package: `install` helps
    devices: tuple[str, ...] = (CPU,)  # kinds, the usual one first
    usual: str = ""  # the device where none is asked for, if not the first of `devices`
    tf32: bool = False  # whether it is opened with `Options.tf32` where that is not asked for
    runs_graph: bool = True  # whether it runs model.onnx, and so can tell whether that is right
    engine: str = ""  # the target whose engines it loads, where it loads one
    compiles: bool = False  # whether it compiles what it is handed no engine of, such as a network that is no artifact
    also_runs: str = ""  # another runner, whose graphs this one runs too: it is the same runtime
    caches: bool = False  # whether it keeps what it builds in a folder, `Options.engine_cache`

    def on(self, device: str, *, tf32: bool = False) -> RunnerKind:
        """Return the same runner with another usual device, and TF32 there. Raise `BadInput` for what it never has."""
        self.check_tf32(tf32, device)
        return replace(self, usual=self.device(device), tf32=tf32)

    def settled(self, options: Options) -> Options:
        """Return the options with what is usual of this runner where nothing is asked for."""
        return replace(options, device=self.device(options.device), tf32=options.tf32 or self.tf32)

    @property
    def imports(self) -> tuple[str, ...]:
        """The module of ours that is imported when it is opened, where that is known."""
        return (self.open_network.module,) if isinstance(self.open_network, Opener) else ()

    def version(self) -> str:
        """Return the version of the package that is installed, which is not imported for it."""
        return installed_version(self.module)

    def problem(self, device: str = "") -> str | None:
        """Say why this runner cannot be used here on that device, or None."""
        device = self.device(device)
        if self._is_missing():
            return f"the package {self.module} is not installed"
        return ", and ".join(filter(None, (self.device_problem(device), self.build_problem(device)))) or None

    def remedy(self, device: str = "") -> str:
        """Return the command that helps where there is a problem; empty where none does, or no package is missing."""
        return self.install if self._is_missing() or self.build_problem(self.device(device)) else ""

    def device(self, asked: str) -> str:
        """Return the device to use: `cpu` or `cuda:N`. Raise `BadInput` for one that this runner never runs on."""
        found = parse_device(asked or self.usual or self.devices[0])
        if found is None or device_kind(found) not in self.devices:
            known = " or ".join("cuda:N" if device == CUDA else device for device in self.devices)
            raise BadInput(f"the device of the runner {self.name} must be {known}, found {shown(asked)}")
        return found

    def open(self, network: Network, options: Options) -> Runner:
        """Open a network. Raise `NotAvailable` where the runtime is missing, `BadInput` for a foreign precision."""
        self.check_opening(network, options)
        return self.open_network(network, self.settled(options))

    def check_opening(self, network: Network, options: Options) -> None:
        """Raise what `open` would raise before the runtime sees the network, or its engine is built."""
        self.check_written_for(network)
        options = self.settled(options)
        device = options.device
        if options.cuda_graph and device == CPU:
            raise BadInput(f"a CUDA graph must be captured on a GPU, found the runner {self.name} on the CPU")
        self.check_tf32(options.tf32, device)
        if options.engine_cache and not self.caches:
            raise BadInput(f"`engine_cache` must be for the runner {CACHING}, found {self.name}; leave it out")
        self.check(network.precision, device)
        if device != CPU and may_have_float32(network.precision):
            check_override(tf32=options.tf32)
        from resnas_deploy.artifact.artifact import Artifact
        from resnas_deploy.artifact.onnx_file import OnnxFile

        if isinstance(network, OnnxFile) and not self.runs_graph:
            raise BadInput(
                f"the runner {self.name} runs PyTorch modules, found the bare ONNX file {network.source}, "
                "which has none; use a runner of graphs (`available_runners()` lists them)"
            )
        if self.engine and not self.compiles and (not isinstance(network, Artifact) or options.model is not None):
            raise BadInput(f"the runner {self.name} runs the engines of artifacts, found {network.source}")
        if self.runs_graph and isinstance(network, Artifact):
            from resnas_deploy.artifact.graph import check_graph  # imports onnx

            check_graph(network)

    def check_written_for(self, network: Network) -> None:
        """Raise `BadInput` where a network's graph is written for another runner."""
        if network.for_runner and network.for_runner not in (self.name, self.also_runs):
            from resnas_deploy.artifact.artifact import Artifact

            remedy = "; export it without `for_runner` for others" if isinstance(network, Artifact) else ""
            raise BadInput(
                f"{network.source} must be run by {network.for_runner}, which its graph is written for, "
                f"found the runner {self.name}{remedy}"
            )

    def check_tf32(self, asked: bool, device: str = "") -> None:
        """Raise `BadInput` where TF32 is asked for and this runner runs on a CPU, which has none."""
        if asked and self.device(device) == CPU:
            raise BadInput(f"`tf32` must be for a GPU, found the runner {self.name} on the CPU; leave it out")

    def check(self, precision: str, device: str = "") -> None:
        """Raise `NotAvailable` or `BadInput` where this runner cannot run a graph of that precision here."""
        if problem := self.problem(device):
            error = PackageMissing if self._is_missing() else NotAvailable
            raise error(f"the runner {self.name} is not available here: {problem}", self.remedy(device))
        if precision not in self.precisions:
            raise BadInput(
                f"the runner {self.name} must have kernels for {precision}, found only "
                f"{', '.join(self.precisions)}; use another `runner` (`available_runners()` lists them)"
            )
        if problem := precision_problem(precision, self.device(device)):
            raise NotAvailable(f"the runner {self.name} cannot run {precision} here: {problem}")

    def _is_missing(self) -> bool:
        return importlib.util.find_spec(self.module) is None


def installed_version(module: str) -> str:
    """Return a package that is installed and its version, without importing it."""
    distribution = next(iter(packages_distributions().get(module, [module])))
    return f"{module} {version(distribution)}"


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
