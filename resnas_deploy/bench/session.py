"""Measures artifacts x runners x batch sizes in one interleaved session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from resnas_deploy.artifact import MODEL, Artifact
from resnas_deploy.bench.measurement import Measurement
from resnas_deploy.bench.timing import interleaved
from resnas_deploy.errors import BadInput
from resnas_deploy.runners.base import Options, Runner, RunnerKind

IMAGE_SEED = 0  # of the noise that is timed: the time does not depend on what an image shows


@dataclass(frozen=True)
class Plan:
    """What to measure. Every artifact is run on every runner at every batch size."""

    artifacts: tuple[Artifact, ...]
    runners: tuple[RunnerKind, ...]
    batches: tuple[int, ...]
    runs: int
    warm_up: int
    threads: int

    def __post_init__(self) -> None:
        for name, value, least in (("runs", self.runs, 1), ("warm-up", self.warm_up, 0)):
            if value < least:
                raise BadInput(f"{name} must be at least {least}, found {value}")
        for artifact in self.artifacts:
            for batch in self.batches:
                if batch not in artifact.manifest.batch:
                    raise BadInput(
                        f"{artifact.folder}: the batch must lie in the artifact's range {artifact.manifest.batch}, "
                        f"found {batch}; measure other sizes, or export with another range"
                    )
            for kind in self.runners:
                kind.check(artifact.manifest.precision)


def measure(plan: Plan, tell: Callable[[str], None]) -> list[Measurement]:
    """Run the plan; results are in the plan's order."""
    with ExitStack() as stack:
        opened: dict[tuple[int, str, int], tuple[Artifact, Runner]] = {}
        steps = {}
        for number, artifact in enumerate(plan.artifacts):
            size = artifact.manifest.arch.image_size
            for kind in plan.runners:
                tell(f"loading {artifact.manifest.label} on {kind.name}")
                runner = stack.enter_context(kind.open(artifact, Options(plan.threads, shares_cores=True)))
                for batch in plan.batches:
                    images = np.random.default_rng(IMAGE_SEED).standard_normal((batch, 3, size, size), np.float32)
                    key = (number, kind.name, batch)
                    opened[key], steps[key] = (artifact, runner), runner.step(images)
        samples = interleaved(steps, plan.runs, plan.warm_up, np.random.default_rng(IMAGE_SEED), tell=tell)
        return [
            _measurement(artifact, runner, key[2], plan.warm_up, samples[key])
            for key, (artifact, runner) in opened.items()
        ]


def _measurement(artifact: Artifact, runner: Runner, batch: int, warm_up: int, samples: Sequence[float]) -> Measurement:
    return Measurement(
        artifact=str(artifact.folder),
        label=artifact.manifest.label,
        model_sha256=artifact.manifest.files[MODEL],
        runner=runner.name,
        version=runner.version,
        computes=runner.computes,
        boundary=runner.boundary,
        batch=batch,
        warm_up=warm_up,
        samples=tuple(samples),
    )
