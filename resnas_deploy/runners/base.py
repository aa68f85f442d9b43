"""The protocol of a runner, and what is known of one before it is opened."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.artifact import Artifact
from resnas_deploy.errors import BadInput, NotAvailable

Images = NDArray[np.float32]  # (B, 3, S, S), normalised
Outputs = Mapping[str, NDArray[np.float32]]


class Runner(Protocol):
    """A network, loaded on a runtime and a device. A context manager: leaving it frees both."""

    name: str
    version: str  # of the runtime
    computes: str  # the precision that the operations really run in: a runtime may widen what the graph says
    boundary: str  # what lies inside the time of one `step`, and how the runtime was set up

    def run(self, images: Images) -> Outputs:
        """Run a batch. Returns float32 arrays by name: `logits` `(B, classes)`, and the probes it was opened with."""
        ...

    def step(self, images: Images) -> Callable[[], object]:
        """Make all ready for timing: the function returned runs this batch once and waits for the result."""
        ...

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
    model: bytes | None = None  # stands in for the artifact's own graph, for example with probes as outputs
    shares_cores: bool = False  # with other runners that are timed in turns: let threads sleep between runs


@dataclass(frozen=True)
class RunnerKind:
    """A runner that could be opened, here or elsewhere."""

    name: str
    summary: str
    module: str  # that must be importable
    install: str  # the command that provides it
    precisions: Mapping[str, str]  # precision: how it runs it
    open_artifact: Callable[[Artifact, Options], Runner]
    device_problem: Callable[[], str | None]  # why it cannot run on this machine, though its package is here
    runs_graph: bool = True  # whether it runs model.onnx, and so can tell whether that is right

    def problem(self) -> str | None:
        """Why this runner cannot be used here, or None."""
        if importlib.util.find_spec(self.module) is None:
            return f"the package {self.module} is not installed"
        return self.device_problem()

    def open(self, artifact: Artifact, options: Options) -> Runner:
        """Open an artifact. Raises `NotAvailable` where the runtime is missing, `BadInput` for a foreign precision."""
        self.check(artifact.manifest.precision)
        return self.open_artifact(artifact, options)

    def check(self, precision: str) -> None:
        """Raise `NotAvailable` or `BadInput` where this runner cannot run a graph of that precision here."""
        if problem := self.problem():
            raise NotAvailable(f"the runner {self.name} is not available here: {problem}", self.install)
        if precision not in self.precisions:
            raise BadInput(
                f"the runner {self.name} must have kernels for {precision}, found only "
                f"{', '.join(self.precisions)}; use another --runner (resnas runners lists them)"
            )


def always_here() -> None:
    """The `device_problem` of a runner that any machine can run."""
    return


def cannot_load(artifact: Artifact, runtime: str, error: Exception) -> BadInput:
    """What to raise where a runtime refuses a graph: one line, of which the runtime's own words are the end."""
    return BadInput(f"{artifact.folder}: {runtime} cannot load the graph: {' '.join(str(error).split())[:300]}")


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def as_float32(values: Any) -> NDArray[np.float32]:
    """A runtime's output as a float32 array of its own memory."""
    return np.array(values, dtype=np.float32)
