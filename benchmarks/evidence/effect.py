"""Effects with intervals, and what they say of a claim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE, POWER = 0.95, 0.8


@dataclass(frozen=True)
class Effect:
    """The mean of a paired difference over seeds; above 0 is what the paper claims."""

    values: tuple[float, ...]  # by seed

    @property
    def mean(self) -> float:
        """The mean."""
        return float(np.mean(self.values))

    @property
    def error(self) -> float:
        """The mean's standard error; not finite for a single seed."""
        return float(stats.sem(self.values)) if len(self.values) > 1 else float("inf")

    @property
    def half(self) -> float:
        """Half of the interval of 95% (Student's)."""
        return self._quantile((1 + CONFIDENCE) / 2) * self.error

    @property
    def low(self) -> float:
        """The interval's lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """The interval's upper end."""
        return self.mean + self.half

    @property
    def detectable(self) -> float:
        """The true effect that four of five such experiments would show, their scatter being what it is here."""
        return self.half + self._quantile(POWER) * self.error

    @property
    def verdict(self) -> str:
        """Whether the claim is seen, contradicted, or neither."""
        if self.low > 0:
            return "seen"
        return "contradicted" if self.high < 0 else "not seen"

    def sentence(self, unit: str = "nats", digits: int = 3) -> str:
        """Return the verdict, and of what was not seen how large it would have had to be."""
        if self.verdict == "not seen":
            above = f"{self.detectable:.{digits}f} {unit}"
            return f"**Not seen, and an effect above {above} would have been** (in four of five such experiments)"
        return f"**{self.verdict.capitalize()}**"

    def text(self, digits: int = 3) -> str:
        """Return the mean with its interval."""
        if len(self.values) < 2:
            return f"{self.mean:+.{digits}f} (a single seed)"
        return f"{self.mean:+.{digits}f} ({self.low:+.{digits}f} to {self.high:+.{digits}f})"

    def _quantile(self, share: float) -> float:
        return float(stats.t.ppf(share, len(self.values) - 1)) if len(self.values) > 1 else 1.0
