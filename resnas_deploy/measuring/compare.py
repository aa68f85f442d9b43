"""Two networks or runners against each other, in turns: a ratio, its interval, and what it allows to say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.measure import Extras, measure
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.statistics import LEAST_OPENINGS, Interval, ratio_interval
from resnas_deploy.runners.base import RunnerKind

FASTER, SLOWER, CANNOT_TELL = "faster", "slower", "cannot tell"
_SEED = 0  # of the bootstrap: the same samples give the same verdict
_RUNS = 60  # of each candidate for the fastest


@dataclass(frozen=True)
class Comparison:
    """What the samples of two configurations say of the second beside the first."""

    first: Measurement
    second: Measurement
    ratio: Interval  # time of the second over that of the first, in the same rounds

    @property
    def verdict(self) -> str:
        """Of the second: `FASTER`, `SLOWER`, or `CANNOT_TELL` where the interval holds 1, or is of one opening."""
        if 1 in self.ratio or self.openings < LEAST_OPENINGS:
            return CANNOT_TELL
        return FASTER if self.ratio.value < 1 else SLOWER

    @property
    def openings(self) -> int:
        """How often each runtime was opened."""
        return len(self.first.samples_s)

    @property
    def more_openings(self) -> int | None:
        """How many more openings would probably tell a difference of this size from none; None where it is zero.

        An interval narrows with the square root of their number. 0 where the verdict is there already.
        """
        if self.verdict != CANNOT_TELL:
            return 0
        effect = abs(math.log(self.ratio.value))
        if not effect:
            return None
        return max(1, math.ceil(self.openings * (self.ratio.half_width / effect) ** 2) - self.openings)

    def to_json(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {
            "batch": self.first.configuration.batch,
            "latency": self.first.configuration.latency,
            "first_ms": self.first.percentile(50),
            "second_ms": self.second.percentile(50),
            "second_over_first": self.ratio.value,
            "low": self.ratio.low,
            "high": self.ratio.high,
            "verdict": self.verdict,
            "openings": self.openings,
            "more_openings": self.more_openings,
        }


def compare(measurements: Sequence[Measurement]) -> list[Comparison]:
    """Compare two subjects that were measured in one session, at each batch size where both could run."""
    pairs: dict[tuple[int, str], list[Measurement]] = {}
    for item in measurements:
        pairs.setdefault((item.configuration.batch, item.configuration.latency), []).append(item)
    return [_compared(*pair) for pair in pairs.values() if len(pair) == 2 and all(item.samples_s for item in pair)]


def _compared(first: Measurement, second: Measurement) -> Comparison:
    ratio = ratio_interval(second.samples_s, first.samples_s, np.random.default_rng(_SEED))
    return Comparison(first, second, ratio)


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


def choose_fastest(
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
    report = measure(plan, Extras(), tell)
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
