"""Chooses among artifacts of one network by their latency, measured in turns: the first, unless another is faster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.compare import FASTER, Comparison, compare
from resnas_deploy.measuring.measure import Extras, run
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.statistics import LEAST_OPENINGS
from resnas_deploy.runners.base import RunnerKind

_RUNS = 60


@dataclass(frozen=True)
class Choice:
    """The name of what was chosen, and how each other candidate compares with the first."""

    chosen: str
    comparisons: Mapping[str, Comparison]

    def __str__(self) -> str:
        found = ", ".join(
            f"{name} takes {item.ratio.value:.3f} of the time ({item.ratio.low:.3f} to {item.ratio.high:.3f})"
            for name, item in self.comparisons.items()
        )
        return f"{self.chosen} ({found})"


def choose(
    candidates: Mapping[str, Artifact], kind: RunnerKind, batch: int, threads: int, tell: Callable[[str], None]
) -> Choice:
    """Measure all candidates and take the fastest of those that are surely faster than the first one."""
    plan = Plan(
        subjects=tuple(Subject(artifact, kind) for artifact in candidates.values()),
        batches=(batch,),
        runs=_RUNS,
        threads=threads,
        openings=LEAST_OPENINGS,
    )
    report = run(plan, Extras(), tell)
    measured = {item.configuration.source: item for item in report.measurements}
    names = {artifact.source: name for name, artifact in candidates.items()}
    first, *others = (measured[artifact.source] for artifact in candidates.values())
    if report.interrupted:
        raise KeyboardInterrupt
    if first.failure is not None:
        raise BadInput(f"the candidates must be measured to choose among them, found: {first.failure}")
    comparisons = {
        names[other.configuration.source]: found[0] for other in others if (found := compare((first, other)))
    }
    faster = {name: item.ratio.value for name, item in comparisons.items() if item.verdict == FASTER}
    return Choice(min(faster, key=faster.__getitem__, default=next(iter(candidates))), comparisons)
