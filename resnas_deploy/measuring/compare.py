"""Two networks or runners against each other, interleaved: a ratio, its interval, and what it allows to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.measure import measure
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.report import Report
from resnas_deploy.measuring.statistics import LEAST_OPENINGS, Interval, ratio_interval
from resnas_deploy.progress import Progress, silent

FASTER, SLOWER, CANNOT_TELL = "faster", "slower", "cannot tell"
_SEED = 0  # of the bootstrap: the same samples give the same verdict
_MOST_ADVISED = 1000  # openings: beyond, nobody would wait for an answer


@dataclass(frozen=True)
class Comparison:
    """What the samples of two configurations say of the second beside the first."""

    first: Measurement
    second: Measurement
    ratio: Interval  # time of the second over that of the first, in the same rounds

    @property
    def verdict(self) -> str:
        """Say of the second: `FASTER`, `SLOWER`, or `CANNOT_TELL` where the interval holds 1, or is of one opening."""
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

    def __str__(self) -> str:
        configuration, ratio = self.first.configuration, self.ratio
        where = f"batch {configuration.batch}, {configuration.latency}"
        times = f"A {self.first.percentile(50):.1f} ms, B {self.second.percentile(50):.1f} ms"
        found = f"B takes {ratio.value:.3f} of A's time ({ratio.low:.3f} to {ratio.high:.3f})"
        if self.verdict != CANNOT_TELL:
            return f"{where}: B is {self.verdict}. {times}; {found}"
        advice = f"if they differ at all, it is by less than {max(ratio.high - 1, 1 - ratio.low):.1%}"
        if (more := self.more_openings) is not None and more <= _MOST_ADVISED:
            runs = sum(map(len, self.first.samples_s))
            advice = f"about {more} more openings ({math.ceil(more * runs / self.openings)} runs) would tell; {advice}"
        return f"{where}: cannot tell. {times}; {found}; {advice}"

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
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


@dataclass(frozen=True)
class Comparisons:
    """Two subjects, A and B, that were measured interleaved, compared at each batch size where both could run."""

    first: Subject
    second: Subject
    comparisons: tuple[Comparison, ...]
    measured: Report

    @property
    def verdict(self) -> str:
        """What all comparisons say of B; `CANNOT_TELL` where they do not all say the same, or there are none."""
        verdicts = {item.verdict for item in self.comparisons}
        return verdicts.pop() if len(verdicts) == 1 else CANNOT_TELL

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it early: there is less than was asked for."""
        return self.measured.interrupted

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"comparisons": [item.to_json() for item in self.comparisons], "measured": self.measured.to_json()}

    def __str__(self) -> str:
        subjects = (("A", self.first), ("B", self.second))
        lines = [f"{name}: {item.network.label} ({item.network.source}) on {item.kind.name}" for name, item in subjects]
        lines.append(f"on {self.measured.machine.described}")
        lines += map(str, self.comparisons)
        lines += [f"{item.configuration}: {item.failure}" for item in self.measured.measurements if item.failure]
        return "\n".join(lines)


def compare(plan: Plan, progress: Progress = silent) -> Comparisons:
    """Measure the two subjects of a plan and compare them."""
    report = measure(plan, Extras(), progress)
    first, second = plan.subjects
    return Comparisons(first, second, compared(report.measurements), report)


def compared(measurements: Sequence[Measurement]) -> tuple[Comparison, ...]:
    """Compare two subjects that were measured together, at each batch size where both could run."""
    pairs: dict[tuple[int, str], list[Measurement]] = {}
    for item in measurements:
        pairs.setdefault((item.configuration.batch, item.configuration.latency), []).append(item)
    return tuple(
        Comparison(first, second, ratio_interval(second.samples_s, first.samples_s, np.random.default_rng(_SEED)))
        for first, second in (pair for pair in pairs.values() if len(pair) == 2)
        if first.samples_s and second.samples_s
    )
