"""The regression gate: whether anything has become slower than its baseline, beyond the machine's noise.

Two reports of a shared machine differ by far more than what is looked for, so both are taken relative to the reference
workload that was timed in the same rounds. What may be slower is measured again, with fresh openings, before it is
called so. How often it is wrong: docs/measuring.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from resnas_deploy.errors import BadInput, RegressionFound, first_few
from resnas_deploy.files import records as record
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.measurement import Configuration, Measurement
from resnas_deploy.measuring.report import Reference, Report
from resnas_deploy.measuring.statistics import Interval

THRESHOLD_PERCENT = 3.0  # between none and the 5 per cent that must not pass
THRESHOLD = 1 + THRESHOLD_PERCENT / 100  # of the time now over that of the baseline
SUSPECT = 1.01  # beyond which it is measured again: one report may be off by more than the difference to THRESHOLD
BLIND = 1.1  # a slowdown that an interval must exclude, or "as before" says too much
ATTEMPTS = 3  # at measuring, of which all but the first measure only what may be slower
Verdict = Literal["slower", "faster", "as before"]


@dataclass(frozen=True)
class Change:
    """One configuration now and in the baseline."""

    configuration: Configuration
    then: Interval  # time over that of the reference workload
    now: Interval
    openings: int  # behind the figure of now
    threshold: float = THRESHOLD  # the ratio beyond which it is slower

    @property
    def ratio(self) -> Interval:
        """Time now over that of the baseline, each relative to the reference workload."""
        return self.now / self.then

    @property
    def verdict(self) -> Verdict:
        """`slower`, `faster`, or `as before`."""
        if self.regressed:
            return "slower"
        return "faster" if self.ratio.value < 1 / self.threshold and self.ratio.high < 1 else "as before"

    @property
    def suspect(self) -> bool:
        """Whether it may be slower, which measuring again would tell."""
        return self.ratio.value > min(SUSPECT, self.threshold)

    @property
    def regressed(self) -> bool:
        """Whether it is slower, and that is not noise."""
        return self.ratio.value > self.threshold and self.ratio.low > 1

    @property
    def note(self) -> str:
        """What must be known with a verdict whose interval is too wide to say much; empty of others."""
        if self.regressed or self.ratio.high <= BLIND:
            return ""
        return (
            f"{self.configuration} may be up to {self.ratio.high - 1:.0%} slower, which this measurement cannot tell "
            "from noise; give more `openings` or `runs`, here and in the baseline, or a machine with nothing else to do"
        )

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "configuration": record.to_json(self.configuration),
            "then": record.to_json(self.then),
            "now": record.to_json(self.now),
            "ratio": record.to_json(self.ratio),
            "openings": self.openings,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Gated:
    """What the gate found: everything of a baseline, beside what it is now."""

    baseline: str  # its file
    differences: tuple[str, ...]  # of the machine and the versions, where those were accepted
    changes: tuple[Change, ...]
    missing: tuple[Configuration, ...]  # of the baseline: what did not run
    notes: tuple[str, ...]  # what may have disturbed it, or is not in it
    interrupted: bool  # by Ctrl-C: there is less than was asked for
    machine: Machine  # this one
    baseline_digest: str  # sha256 of what is in the baseline
    threshold: float = THRESHOLD  # the ratio beyond which a change is slower

    @property
    def instructions(self) -> str:
        """The instruction set of this machine's CPU."""
        return self.machine.instructions

    @property
    def slower(self) -> tuple[Change, ...]:
        """What has become slower, and that is not noise."""
        return tuple(change for change in self.changes if change.regressed)

    @property
    def regressed(self) -> bool:
        """Whether anything has become slower, and that is not noise."""
        return bool(self.slower)

    def check(self) -> None:
        """Raise `RegressionFound` where something has become slower, `BadInput` where something did not run."""
        if self.regressed:
            worst = max(self.slower, key=lambda change: change.ratio.value)
            raise RegressionFound(
                f"{len(self.slower)} of {len(self.changes)} must not be slower than in {self.baseline}, found "
                f"{worst.configuration} {worst.ratio.value - 1:.1%} slower; make a new baseline if that is meant"
            )
        if self.missing:
            raise BadInput(
                f"everything in {self.baseline} must run here, found none of {first_few(list(map(str, self.missing)))} "
                "(out of memory, or another device); make that possible, or make a new baseline"
            )

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "baseline": self.baseline,
            "instructions": self.instructions,
            "differences": list(self.differences),
            "regressed": self.regressed,
            "threshold": self.threshold,
            "changes": [change.to_json() for change in self.changes],
        }


def judge(
    baseline: Report, measure_again: Callable[[Sequence[Configuration]], Report], threshold: float = THRESHOLD
) -> list[Change]:
    """Compare with the baseline; `measure_again` is asked for new reports of some of its configurations.

    What may be slower is measured again, up to `ATTEMPTS` times in all, and judged by all its samples.
    """
    then = {comparison_key(item.configuration): item for item in baseline.measurements if item.samples_s}
    seen: dict[Identity, tuple[Measurement, Reference]] = {}
    waiting = [item.configuration for item in then.values()]
    for _ in range(ATTEMPTS):
        report = measure_again(waiting)
        for item in report.measurements:
            key = comparison_key(item.configuration)
            if key in then and item.samples_s:
                seen[key] = _joined(seen.get(key), item, report.reference)
        changes = [_change(then[key], baseline.reference, *now, threshold) for key, now in seen.items()]
        waiting = [change.configuration for change in changes if change.suspect]
        if not waiting or report.interrupted:
            break
    return changes


Identity = tuple[object, ...]


def comparison_key(configuration: Configuration) -> Identity:
    """Return what makes two configurations the same, whatever graph they run, and on whichever GPU.

    The engines of two graphs differ; what they are tuned for and built with must be the same.
    """
    c = configuration
    engine = (c.profile, c.built_with)
    return (
        c.label,
        c.precision,
        c.runner,
        c.place.partition(":")[0],
        c.latency,
        c.threads,
        c.batch,
        c.streams,
        *engine,
    )


def baseline_differences(
    baseline: Report, machine: Machine, reference: str, configurations: Sequence[Configuration]
) -> list[str]:
    """Say why the baseline's figures may not be compared with those of this machine and its runtimes, a line each."""
    found = machine.differences(baseline.machine)
    if baseline.reference.name != reference:
        found.append(f"reference workload: {baseline.reference.name} there, {reference} here")
    here = {comparison_key(item): item for item in configurations}
    for then in (item.configuration for item in baseline.measurements if item.samples_s):
        now = here.get(comparison_key(then))
        for name in ("version", "device", "computes", "boundary"):
            if now and getattr(then, name) != getattr(now, name):
                found.append(f"{then.runner}: {getattr(then, name)} there, {getattr(now, name) or 'none'} here")
        if now is None:
            built = f", built with {then.built_with}" if then.built_with else ""
            found.append(f"{then}{built}, {then.device} there, nothing of the kind here")
    return list(dict.fromkeys(found))


def _joined(
    before: tuple[Measurement, Reference] | None, item: Measurement, reference: Reference
) -> tuple[Measurement, Reference]:
    if before is None:
        return item, reference
    earlier, beside = before
    return (
        replace(item, samples_s=earlier.samples_s + item.samples_s),
        replace(reference, samples_s=beside.samples_s + reference.samples_s),
    )


def _change(
    then: Measurement, then_reference: Reference, now: Measurement, now_reference: Reference, threshold: float
) -> Change:
    return Change(
        now.configuration,
        then=then.over(then_reference.samples_s),
        now=now.over(now_reference.samples_s),
        openings=len(now.samples_s),
        threshold=threshold,
    )
