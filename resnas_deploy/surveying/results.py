"""What a survey's steps find, and its document, as data. Times are in seconds unless a name says otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import ClassVar, Final, Literal

from resnas_deploy.files import records as record
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.measurement import DEVICE, HOST, Measurement
from resnas_deploy.measuring.report import Report
from resnas_deploy.runners.registry import RUNNERS

SCHEMA = 1
Status = Literal["done", "failed", "missing", "left out"]
DONE: Final = "done"
FAILED: Final = "failed"
MISSING: Final = "missing"
LEFT_OUT: Final = "left out"
NO_TIME, NOT_ASKED = "no time was left for it", "it was not asked for"  # why a step was left out
INTERRUPTED = "the run was interrupted before it ended"


@dataclass(frozen=True)
class Absent:
    """Something that is not here, and the command that gets it; empty where no command does."""

    name: str
    problem: str
    install: str = ""


@dataclass(frozen=True)
class Here:
    """What is here: the device, the packages, and the runners that can run on it."""

    device: str  # cpu, or cuda:N and the GPU's name
    capability: str | None  # of the GPU, such as 9.0
    memory_bytes: int | None  # of the GPU
    cuda: str | None  # the version that PyTorch was built for
    runners: tuple[str, ...]
    absent: tuple[Absent, ...]


@dataclass(frozen=True)
class TestRun:
    """What pytest said: its last line, and the tests that failed, each with its first line."""

    __test__ = False  # which pytest would take for a test

    summary: str
    passed: int
    failed: tuple[str, ...]
    cut: bool  # by the step's time


@dataclass(frozen=True)
class Verified:
    """How far logits are from those of the module in float32 on the CPU, relative to the largest of them."""

    images: int
    error: float
    tolerance: float

    @property
    def right(self) -> bool:
        """Whether that is close enough."""
        return self.error <= self.tolerance


@dataclass(frozen=True)
class TimedNetwork:
    """A network on a runner: what it computes, and what it takes at some batch sizes."""

    network: str  # as it was asked for: a published name, a file, a peer's name
    precision: str
    runner: str
    baseline: bool  # whether it is plain PyTorch, without a kernel of ours
    cuda_graph: bool
    verified: Verified | None  # None where a network has no reference: of a peer, and of a baseline
    report: Report

    def measurement(self, batch: int) -> Measurement | None:
        """Return what was timed at a batch size on the device alone, or where that is not known from host to host."""
        found = {
            item.configuration.latency: item
            for item in self.report.measurements
            if item.configuration.batch == batch and item.samples_s
        }
        return found.get(DEVICE) or found.get(HOST)


@dataclass(frozen=True)
class ReductionTimes:
    """A residual reduction alone: medians of the eager equation, of that compiled, and of the operator."""

    side: int
    width: int
    out_width: int
    batch: int
    precision: str
    kernel: str  # what the operator is here: Triton's kernel, or on a CPU the equation
    eager_s: float
    compiled_s: float | None  # None where PyTorch compiles nothing here
    kernel_s: float
    error: float  # of the operator, relative to the largest value, beside the equation in float32
    tolerance: float


@dataclass(frozen=True)
class PredictionErrors:
    """How far a predictor is from what was measured, relative: 0.02 is 2 per cent."""

    predictor: str
    mape: float  # mean absolute error
    worst: float
    spearman: float


@dataclass(frozen=True)
class ModelCheck:
    """A latency model of a search space, and how well it predicts networks that it has not seen: milliseconds each."""

    setting: Setting
    space: str
    profiled: int  # networks
    measured_ms: tuple[float, ...]
    predicted_ms: tuple[float, ...]
    by_macs_ms: tuple[float, ...]
    errors: tuple[PredictionErrors, ...]  # of the model, of lines through MACs and parameters, of measuring again


@dataclass(frozen=True)
class TrainingTimes:
    """Steps of training a supernet."""

    way: str  # sliced, masked, compiled
    space: str
    batch: int
    group: int
    precision: str
    samples_s: tuple[float, ...]
    first_s: float  # the first step, compiling included
    memory_bytes: int | None  # the most of the GPU's that tensors took

    @property
    def median_s(self) -> float:
        """The median of the steps after the first."""
        return median(self.samples_s)

    @property
    def images_per_second(self) -> float:
        """Images a second by the median step."""
        return self.batch / self.median_s


@dataclass(frozen=True)
class Outcome:
    """What a step found: one of these."""

    here: Here | None = None
    tests: TestRun | None = None
    timed: TimedNetwork | None = None
    reductions: tuple[ReductionTimes, ...] | None = None
    model: ModelCheck | None = None
    training: TrainingTimes | None = None


@dataclass(frozen=True)
class Handed:
    """What a step's process hands over."""

    status: Status
    error: str | None = None
    remedy: str | None = None
    found: Outcome | None = None


@dataclass(frozen=True)
class Step:
    """A step as it ended. `error` is the first line of what went wrong; the log has the rest."""

    name: str
    what: str
    status: Status
    seconds: float
    identity: str = ""  # of the machine and packages that it ran on
    error: str | None = None
    remedy: str | None = None
    found: Outcome | None = None


@dataclass(frozen=True)
class Identity:
    """What must be the same for the results of two runs to stand in one report."""

    machine: Machine
    device: str
    packages: Mapping[str, str]
    sizes: str  # a digest of what was to be measured

    @property
    def digest(self) -> str:
        """Twelve digits of its sha256."""
        return hashlib.sha256(json.dumps(record.to_json(self), sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Aim:
    """An aim, and whether it was met; `words` says by which figures, or why it was not measured."""

    name: str
    wanted: float
    found: float | None
    verdict: Literal["met", "not met", "not measured"]
    words: str


@dataclass(frozen=True)
class RunnerPath:
    """How far a runner came: what of it was seen to work at all, in whatever precision."""

    runner: str
    version: str
    precisions: tuple[str, ...]  # that it ran
    built: bool  # an engine, by a runner that loads one
    run: bool
    verified: bool  # logits compared with the float32 module's, and close enough, every time
    timed: bool


@dataclass(frozen=True)
class Survey:
    """The document: all that was measured of a device, and what was not and why."""

    schema: int
    version: str  # of resnas
    identity: Identity
    rehearsal: bool  # whether it was on a CPU: then no figure of it means anything
    interrupted: bool  # by Ctrl-C
    notes: tuple[str, ...]
    aims: tuple[Aim, ...]
    steps: tuple[Step, ...]  # in the order of their worth
    DERIVED: ClassVar = {"paths": tuple[RunnerPath, ...]}

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON, with how far each runner came."""
        return {**record.to_json(self), "paths": [record.to_json(path) for path in self.paths()]}

    def paths(self) -> tuple[RunnerPath, ...]:
        """Return how far each runner came that ran anything of ours."""
        by_runner: dict[str, list[TimedNetwork]] = {}
        for each in self.done():
            if each.timed:
                by_runner.setdefault(each.timed.runner, []).append(each.timed)
        return tuple(_path(runner, found) for runner, found in by_runner.items())

    def done(self) -> list[Outcome]:
        """Return what the steps found that ended well."""
        return [step.found for step in self.steps if step.status == DONE and step.found]

    def ended(self, *statuses: str) -> list[Step]:
        """Return the steps that ended so."""
        return [step for step in self.steps if step.status in statuses]


def _path(runner: str, found: Sequence[TimedNetwork]) -> RunnerPath:
    checked = [item.verified.right for item in found if item.verified]
    timed = [each for item in found for each in item.report.measurements if each.samples_s]
    return RunnerPath(
        runner=runner,
        version=timed[0].configuration.version if timed else "",
        precisions=tuple(dict.fromkeys(item.precision for item in found)),
        built=bool(RUNNERS[runner].engine) if runner in RUNNERS else False,
        run=True,
        verified=bool(checked) and all(checked),
        timed=bool(timed),
    )
