"""What the values of a dimension cost, by the clock or by kernels: one face for the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.measuring.statistics import Interval
from resnas_deploy.shaping.candidates import Value
from resnas_deploy.shaping.measured import Timed
from resnas_deploy.shaping.rules import no_more


class Costs(Protocol):
    """Costs of the values of one dimension, each by the network that stands for it."""

    @property
    def archs(self) -> Mapping[Value, ArchSpec]:
        """The networks by value."""
        raise NotImplementedError

    def dominates(self, wider: Value, narrower: Value) -> bool:
        """Whether the wider value is worth the place of the narrower one."""
        raise NotImplementedError

    def dearer(self, wider: Value, narrower: Value) -> bool:
        """Whether the wider value surely costs more."""
        raise NotImplementedError

    def ratio(self, wider: Value, narrower: Value) -> Interval | None:
        """Return the time of one over that of the other, where times were measured."""
        raise NotImplementedError

    def figures(self, value: Value) -> dict[str, Any]:
        """Return the fields of a `ShapedValue` that say what was measured."""
        raise NotImplementedError


@dataclass(frozen=True)
class Times:
    """Seconds of networks that were timed side by side."""

    archs: Mapping[Value, ArchSpec]
    timed: Timed

    def dominates(self, wider: Value, narrower: Value) -> bool:
        """Whether the wider value is no slower, beyond the noise."""
        return no_more(self.ratio(wider, narrower))

    def dearer(self, wider: Value, narrower: Value) -> bool:
        """Whether the interval of its time over the other's begins above 1."""
        return self.ratio(wider, narrower).low > 1

    def ratio(self, wider: Value, narrower: Value) -> Interval:
        """Return the time of one over that of the other."""
        return self.timed.ratio(self.archs[wider], self.archs[narrower])

    def figures(self, value: Value) -> dict[str, Any]:
        """Return the milliseconds, in all and by opening."""
        arch = self.archs[value]
        return {"ms": self.timed.ms(arch), "openings_ms": self.timed.openings_ms(arch)}


@dataclass(frozen=True)
class Kernels:
    """Kernels that a compiler makes. They say nothing of the time inside one."""

    archs: Mapping[Value, ArchSpec]
    counts: Mapping[str, int]  # by the network's fingerprint

    def of(self, value: Value) -> int:
        """Return the kernels of a value's network."""
        return self.counts[self.archs[value].fingerprint]

    def dominates(self, wider: Value, narrower: Value) -> bool:
        """Whether the narrower value costs more kernels than the wider one. As many as it has tell nothing."""
        return self.of(wider) < self.of(narrower)

    def dearer(self, wider: Value, narrower: Value) -> bool:
        """Whether the wider value has more kernels."""
        return self.of(wider) > self.of(narrower)

    def ratio(self, wider: Value, narrower: Value) -> None:
        """Return nothing: no time was measured."""

    def figures(self, value: Value) -> dict[str, Any]:
        """Return the number of kernels."""
        return {"kernels": self.of(value)}
