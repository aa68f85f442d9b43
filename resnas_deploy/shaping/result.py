"""What a shaping found: of each value what was measured and what became of it, and the space that is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.files import records
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.statistics import Interval
from resnas_deploy.pages.table import Table
from resnas_deploy.shaping.candidates import Value
from resnas_deploy.shaping.counted import CountSetting
from resnas_deploy.shaping.rules import ADDED, DROPPED, KEPT, Outcome, no_more

SCHEMA = 1


@dataclass(frozen=True)
class ShapedValue:
    """A value of a dimension: what its network took, and what became of it.

    `beside` is the value that decides: of one that is dropped the wider one in its place, of one that is kept the next
    wider one, of one that is new, or is not taken, the next narrower choice.
    """

    value: Value
    outcome: Outcome
    macs: int  # of an image, of the network that stands for it
    ms: float | None = None  # a batch: the median over openings of the median over rounds
    openings_ms: tuple[float, ...] | None = None  # the latter
    kernels: int | None = None
    beside: Value | None = None
    ratio: Interval | None = None  # the time of the wider of both over that of the narrower one

    def why(self, kernels: int | None = None) -> str:
        """Return the reason in words; `kernels` are those of the value beside."""
        wider = f"{self.beside} costs" if self.outcome in (DROPPED, KEPT) else "it costs"
        narrower = "it" if self.outcome in (DROPPED, KEPT) else str(self.beside)
        if self.beside is None:
            return "the widest" if self.outcome == KEPT and (self.ms or self.kernels) else ""
        if self.kernels is not None:
            return f"{self.kernels} kernels, {self.beside} has {kernels}"
        if self.ratio is None:
            return ""
        found = self.ratio
        told = f"{wider} {found.value:.3f} of {narrower} ({found.low:.3f} to {found.high:.3f})"
        if self.outcome == KEPT and found.low <= 1 and not no_more(found):
            told += ", too uncertain to tell"
        return told


@dataclass(frozen=True)
class ShapedDimension:
    """A list of the space, from the widest value to the narrowest."""

    stage: int | None  # counted from 1; None: the stem
    name: str
    decided: bool  # whether it was measured to the end, or has one value alone; if not, it stays as it was
    values: tuple[ShapedValue, ...]

    @property
    def where(self) -> str:
        """What people call it."""
        return self.name if self.stage is None else f"stage {self.stage} {self.name}"

    def lines(self) -> Iterator[tuple[ShapedValue, str]]:
        """Yield each value with the reason of its outcome."""
        kernels = {each.value: each.kernels for each in self.values}
        for each in self.values:
            yield each, each.why(kernels.get(each.beside)) if each.beside is not None else each.why()

    @property
    def measured(self) -> bool:
        """Whether there are figures."""
        return self.decided and len(self.values) > 1


@dataclass(frozen=True)
class Shaping:
    """A space shaped for a device, and why."""

    before: SearchSpace
    space: SearchSpace  # that is left
    dimensions: tuple[ShapedDimension, ...]
    machine: Machine | None  # None where kernels were counted
    setting: Setting | None
    counted: CountSetting | None
    openings: int
    within: float
    widest: Interval | None  # the time of the widest subnet over that of before; None where it is the same one
    notes: tuple[str, ...]
    measured_now: int  # networks, each opening for itself; the others were kept from before
    seconds: float
    interrupted: bool = False
    schema: int = SCHEMA

    @property
    def complete(self) -> bool:
        """Whether every list was measured to the end."""
        return not self.interrupted and all(each.decided for each in self.dimensions)

    @property
    def how(self) -> str:
        """What it was measured with, for people."""
        return str(self.setting or self.counted)

    def to_json(self) -> dict[str, object]:
        """Return what `resnas space shape --json` prints."""
        return records.to_json(self)

    def counts(self) -> str:
        """Return how many choices were kept, dropped and added."""
        outcomes = [each.outcome for one in self.dimensions for each in one.values]
        return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in (KEPT, DROPPED, ADDED))

    def table(self) -> Table:
        """Return a row for each value, with what its network took."""
        rows = []
        for one in self.dimensions:
            for each, why in one.lines():
                took = f"{each.ms:.3f}" if each.ms is not None else str(each.kernels or "")
                outcome = each.outcome if one.decided else "not measured"
                rows.append((one.where, str(each.value), outcome, why, took, f"{each.macs / 1e9:.3f}"))
        unit = "kernels" if self.counted else "ms"
        title = f"{self.before.name} shaped for {self.how}"
        return Table(title, ("choice", "value", "", "why", unit, "GMACs"), rows, text_columns=4)
