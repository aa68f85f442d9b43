"""The graph's own arithmetic as a runner, where accuracy is counted in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.exporting.arithmetic.evaluate import Graph
from resnas_deploy.precision import precision_named
from resnas_deploy.runners.base import Images, Options, Outputs, Runner
from resnas_deploy.runners.devices import CPU
from resnas_deploy.runners.kind import RunnerKind


class OwnRunner(Runner):
    """Computes an artifact's graph in its own type."""

    def __init__(self, artifact: Artifact) -> None:
        self.name, self.device = "own", CPU
        self.computes = artifact.precision
        self.version = self.boundary = f"{artifact.manifest.type} arithmetic"
        self._graph = Graph(artifact.graph, artifact.arch, precision_named(artifact.manifest.type))

    def run(self, images: Images) -> Outputs:
        return {OUTPUT: self._graph.evaluate(images).logits}

    def step(self, images: Images) -> Callable[[], object]:
        return lambda: self.run(images)

    def close(self) -> None:
        del self._graph


def computing_in_own(artifact: Artifact, kind: RunnerKind) -> RunnerKind:
    """Return what to count accuracy on: the runner where it computes in the graph's type, as GPUs do, or in float32.

    Runtimes on CPUs compute fp16 and bf16 in float32, so accuracy in those is counted in the graph's own arithmetic.
    """
    if artifact.manifest.type == "fp32" or kind.device("") != CPU:
        return kind

    def opened(_network: object, _options: Options) -> Runner:
        return OwnRunner(artifact)

    return replace(kind, open_network=opened)
