"""One run of the gate as a history keeps it: when, of what, on which machine, and what came of each case."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files import records as record
from resnas_deploy.measuring.gate import Change, Gated
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.statistics import Interval

SCHEMA = 1
MOST_NAME = 200  # characters of a commit or a branch
_FORM = "%Y-%m-%dT%H:%M:%SZ"
Identity = tuple[object, ...]


@dataclass(frozen=True)
class Case:
    """One configuration of a baseline: its time over that of the reference workload, then and now."""

    label: str
    precision: str
    runner: str
    version: str  # of the runtime
    device: str
    latency: str  # `HOST` or `DEVICE`
    batch: int
    streams: int
    threads: int  # of each stream
    digest: str  # sha256 of the graph
    then: Interval
    now: Interval
    ratio: Interval  # time now over that of the baseline
    openings: int  # behind the figure of now
    verdict: Literal["slower", "faster", "as before"]
    profile: str = record.text_or_nothing()  # of an engine, that the batch ran in
    built_with: str = record.text_or_nothing()  # what an engine was built with beside the usual

    def __post_init__(self) -> None:
        for name in ("then", "now", "ratio"):
            found = getattr(self, name)
            if not 0 < found.low <= found.value <= found.high:
                raise BadInput(
                    f"{name} must be a value above 0 between its bounds, found {found.low:g} to {found.high:g}"
                )

    @property
    def key(self) -> Identity:
        """What makes two cases of different runs the same; versions and graphs may change between them."""
        return (
            *(self.label, self.precision, self.runner, self.device.partition(":")[0].partition(" ")[0], self.latency),
            *(self.batch, self.streams, self.threads, self.profile, self.built_with),
        )

    def __str__(self) -> str:
        streams = f", {self.streams} streams" if self.streams > 1 else ""
        return f"{self.label}, {self.runner}, batch {self.batch}, {self.latency}{streams}"


@dataclass(frozen=True)
class GateRecord:
    """One run of the gate."""

    date: str  # ISO 8601, in UTC
    machine: Machine
    baseline: str  # its file
    baseline_digest: str  # of what is in it
    threshold: float  # the ratio beyond which a case is slower
    cases: tuple[Case, ...]
    missing: tuple[str, ...]  # what of the baseline did not run
    commit: str = record.text_or_nothing()
    branch: str = record.text_or_nothing()
    DERIVED: ClassVar = {"schema": int, "regressed": bool}

    def __post_init__(self) -> None:
        try:
            datetime.strptime(self.date, _FORM).replace(tzinfo=UTC)
        except ValueError:
            raise BadInput(f"date must be one such as 2026-01-31T12:00:00Z, found {shown(self.date)}") from None
        if not self.threshold >= 1:
            raise BadInput(f"threshold must be a ratio of at least 1, found {self.threshold:g}")

    @property
    def regressed(self) -> bool:
        """Whether anything was slower than the baseline, and that was not noise."""
        return any(case.verdict == "slower" for case in self.cases)

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"schema": SCHEMA, "regressed": self.regressed, **record.to_json(self)}


def record_of(found: Gated, date: datetime, commit: str = "", branch: str = "") -> GateRecord:
    """Return what a history keeps of what the gate found."""
    for name, text in (("commit", commit), ("branch", branch)):
        if len(text) > MOST_NAME or not text.isprintable():
            raise BadInput(f"`{name}` must be a name of at most {MOST_NAME} characters, found {shown(text)}")
    return GateRecord(
        date=date.astimezone(UTC).strftime(_FORM),
        machine=found.machine,
        baseline=found.baseline,
        baseline_digest=found.baseline_digest,
        threshold=found.threshold,
        cases=tuple(map(_case, found.changes)),
        missing=tuple(map(str, found.missing)),
        commit=commit,
        branch=branch,
    )


def _case(change: Change) -> Case:
    c = change.configuration
    return Case(
        label=c.label,
        precision=c.precision,
        runner=c.runner,
        version=c.version,
        device=c.device,
        latency=c.latency,
        batch=c.batch,
        streams=c.streams,
        threads=c.threads,
        digest=c.digest,
        then=change.then,
        now=change.now,
        ratio=change.ratio,
        openings=change.openings,
        verdict=change.verdict,
        profile=c.profile,
        built_with=c.built_with,
    )
