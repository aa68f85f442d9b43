"""The steps that time a network on a runner: ours, a plain one of PyTorch as a baseline, or another paper's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.artifact.artifact import Artifact, open_artifact
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import BadInput
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.exporting.source import read_source
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.measure import measure
from resnas_deploy.measuring.peers import open_peer
from resnas_deploy.measuring.plan import Effort, Subject
from resnas_deploy.measuring.report import Report
from resnas_deploy.precision import PRECISIONS, relative_error, tolerance_of
from resnas_deploy.progress import Progress
from resnas_deploy.runners.base import Network, Options, usable_cores
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import runner_kind
from resnas_deploy.surveying.results import Outcome, TimedNetwork, Verified
from resnas_deploy.surveying.task import Task

if TYPE_CHECKING:
    import torch

_MOST_IMAGES = 8  # that logits are compared on


@dataclass(frozen=True)
class Plain:
    """A network as anybody would run it by PyTorch: its module, without a kernel of ours and without a graph."""

    whole: Network
    label: str
    digest: str  # of what the module is made of

    arch = None  # of which a runner would make more than the module says
    input = "float32"
    for_runner = ""

    @property
    def source(self) -> str:
        """What names it."""
        return self.whole.source

    @property
    def precision(self) -> str:
        """The network's."""
        return self.whole.precision

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.whole.image_size

    @property
    def batch(self) -> BatchRange:
        """The network's."""
        return self.whole.batch

    @property
    def model(self) -> Path:
        """No graph is run: raises `BadInput`."""
        raise BadInput("a baseline must be run by PyTorch, found a runner of graphs")

    def module(self) -> torch.nn.Module:
        """Return the module within one that is not ours, in which no runner puts a kernel."""
        import torch

        return torch.nn.Sequential(self.whole.module()).eval()


def run(task: Task, progress: Progress) -> Outcome:
    """Compare the logits with the module's in float32, and time it."""
    kind, precision = runner_kind(task.runner), task.text("precision")
    kind.check(precision, task.device)  # before anything is written
    with _network(task, kind, progress) as network:
        baseline, graph = task.flag("baseline"), task.flag("cuda_graph")
        verified = None
        if isinstance(network, Artifact):
            verified = _verified(network, kind, task, progress)
        extras = Extras(energy=True, ceilings=True) if task.flag("extras") else Extras()
        plan = Effort(task.sizes.runs, 1, 0, task.device, graph).plan([Subject(network, kind)], task.batches())
        report = measure(plan, extras, progress)
    name = task.text("network")
    return Outcome(timed=TimedNetwork(name, precision, kind.name, baseline, graph, verified, _named(report, name)))


def _named(report: Report, name: str) -> Report:
    """Return the report with the network's name as its source: a folder of the user's is nobody's business."""
    return replace(
        report,
        measurements=tuple(
            replace(item, configuration=replace(item.configuration, source=name)) for item in report.measurements
        ),
    )


@contextmanager
def _network(task: Task, kind: RunnerKind, progress: Progress) -> Iterator[Network]:
    name, precision = task.text("network"), task.text("precision")
    batch = USUAL.extended_to(max(task.sizes.batches))
    if task.flag("peer"):
        with open_peer(name, precision, progress, batch=batch) as peer:
            # A graph takes onnxscript and a quarter of a minute, and a runner of modules needs none.
            yield peer if kind.runs_graph else Plain(peer, peer.label, peer.weights_digest)
        return
    artifact = exported(task, name, precision, kind, batch, progress)
    yield Plain(artifact, f"plain {artifact.label}", artifact.digest) if task.flag("baseline") else artifact


def exported(
    task: Task, name: str, precision: str, kind: RunnerKind, batch: BatchRange, progress: Progress
) -> Artifact:
    """Return the artifact of a network with random weights: the one that an earlier step made, or a new one."""
    folder = task.work / f"{Path(name).stem}-{precision}{'-engine' if kind.engine else ''}"
    if folder.exists():
        try:
            return open_artifact(folder)
        except BadInput:  # cut short
            progress(f"{folder.name} is damaged, and made anew")
    source = read_source(name)
    request = Request(
        name=source.name,
        out=folder,
        precision=precision,
        batch=batch,
        for_engine=bool(kind.engine),
        force=True,
        calibration_images=task.sizes.calibration_images,
        verify_on=None,  # what a runner computes is compared with the module on that very runner
    )
    task.work.mkdir(parents=True, exist_ok=True)
    return export(source.load, request, progress)


def _verified(artifact: Artifact, kind: RunnerKind, task: Task, progress: Progress) -> Verified | None:
    """Compare the runner's logits with the float32 module's, at a batch that is timed; None for large ones alone."""
    import torch

    batch = min(task.batches())
    if batch > _MOST_IMAGES:  # a runner that compiles would compile for another one, and the CPU takes long
        return None
    progress("comparing the logits with the module's in float32")
    images = noise(batch, artifact.image_size)
    options = Options(usable_cores(), device=task.device)
    with open_runner(kind, artifact, options, progress) as runner:
        found, computes = runner.run(images)[OUTPUT], runner.computes
    with torch.inference_mode():
        wanted = artifact.module()(torch.from_numpy(images)).numpy()
    tolerance = max(tolerance_of(artifact.precision), tolerance_of(computes) if computes in PRECISIONS else 0.0)
    return Verified(len(images), relative_error(found, wanted), tolerance)
