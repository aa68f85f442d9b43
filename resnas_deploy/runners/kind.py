"""What is known of a runner before it is opened: where it runs, what it takes, and how it is opened."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import packages_distributions, version

from resnas_deploy.errors import BadInput, NotAvailable, PackageMissing, shown
from resnas_deploy.runners.base import Network, Options, Runner
from resnas_deploy.runners.devices import CPU, CUDA, device_kind, no_problem, parse_device, precision_problem
from resnas_deploy.runners.tf32 import check_override, may_have_float32

CACHING = "ort-tensorrt"  # the runner that builds when it is opened, and can keep what it built


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

            own = isinstance(network, Artifact)
            remedy = "export it without `for_runner` for others" if own else f"give `runners` {network.for_runner}"
            raise BadInput(
                f"{network.source} must be run by {network.for_runner}, which its graph is written for, "
                f"found the runner {self.name}; {remedy}"
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
