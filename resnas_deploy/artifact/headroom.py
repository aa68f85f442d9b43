"""What was found when a graph was computed in its own type: its error, and how near each element came to its end.

A runtime may widen what the graph says; what holds wherever the type itself is computed in is this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from resnas_deploy.precision import NOT_FINITE

# The largest share of a type's range that a graph may use on the images of verification. A quarter, since four values
# of the largest magnitude may be added before they are divided (pooling), since GELU written as x (1 + erf(x)) doubles,
# and since other images are not these. Networks stay far below it (docs/verification.md).
MARGIN = 0.25
T = TypeVar("T")


@dataclass(frozen=True)
class Peak:
    """The largest magnitude in an element of the network."""

    magnitude: float | None  # before it was rounded to the type, so it may lie beyond; None: infinite, or no number
    operator: str  # whose result it is: the node's name and its kind

    def share(self, largest: float) -> float:
        """Of a type's largest number; `NOT_FINITE` of what is infinite or no number."""
        return NOT_FINITE if self.magnitude is None else self.magnitude / largest

    def __str__(self) -> str:
        if self.magnitude is None:
            return "NaN or infinity"
        return f"{self.magnitude:,.0f}" if 1000 <= self.magnitude < 1e9 else f"{self.magnitude:.3g}"


@dataclass(frozen=True)
class OwnArithmetic:
    """A graph in its own type: every operator's result rounded to it, products summed in float32."""

    type: str  # of all that is not quantised: fp16, bf16 or fp32
    largest: float  # its largest number
    margin: float  # the largest share of it that an element may reach
    tolerance: float
    error: float  # of the logits, relative to the reference's largest; `NOT_FINITE` where one was NaN or infinite
    peaks: Mapping[str, Peak]  # by element, in the order of computation

    @property
    def headroom(self) -> Mapping[str, float]:
        """Of each element the largest magnitude over the type's largest number."""
        return {name: peak.share(self.largest) for name, peak in self.peaks.items()}

    @property
    def beyond(self) -> str:
        """The first element that reaches more than the margin; empty where none does."""
        return next((name for name, share in self.headroom.items() if share > self.margin), "")

    @property
    def passed(self) -> bool:
        """Whether all is finite with room to spare, and the logits are those of the reference within the tolerance."""
        return not self.beyond and self.error <= self.tolerance

    @property
    def nearest(self) -> str:
        """The element that comes nearest to the type's end."""
        return max(self.headroom, key=lambda name: self.headroom[name])

    def to_json(self) -> dict[str, object]:
        """Plain data for JSON. The elements are a list, since their order matters."""
        return {
            "type": self.type,
            "largest": self.largest,
            "margin": self.margin,
            "tolerance": self.tolerance,
            "error": self.error,
            "headroom": [
                {
                    "element": name,
                    "share": peak.share(self.largest),
                    "magnitude": peak.magnitude,
                    "operator": peak.operator,
                }
                for name, peak in self.peaks.items()
            ],
        }

    def __str__(self) -> str:
        error = f"error {self.error:.1e}" if self.error < NOT_FINITE else "a logit that is NaN or infinite"
        tolerance = f"{self.tolerance:.0e}" if self.tolerance < 0.1 else f"{self.tolerance:g}"
        peak = self.peaks[self.beyond or self.nearest]  # of those beyond the margin the first, which the others follow
        share = f"{shown(peak.share(self.largest))} of {self.largest:.5g}, {shown(self.margin)} allowed"
        return (
            f"in {self.type} arithmetic {error} of tolerance {tolerance}, headroom: at most {peak} "
            f"({share}) at {peak.operator}"
        )


def shown(share: float) -> str:
    """A share in percent, for people."""
    if share == NOT_FINITE:
        return "no number"
    return f"{share:.2%}" if share >= 1e-4 else "none" if not share else f"{share:.0e}"


def read_own_arithmetic(data: object) -> OwnArithmetic:
    """Read what `to_json` wrote. Raises `KeyError` or `TypeError` for anything else."""
    found = _of(dict, data)
    peaks = [_of(dict, item) for item in _of(list, found["headroom"])]
    if not peaks:
        raise TypeError("a headroom of no element")
    numbers = {name: _of(float, found[name]) for name in ("largest", "margin", "tolerance", "error")}
    if not numbers["largest"] > 0:
        raise TypeError("a type without a largest number")
    return OwnArithmetic(
        type=_of(str, found["type"]),
        peaks={_of(str, item["element"]): _peak(item["magnitude"], item["operator"]) for item in peaks},
        **numbers,
    )


def _peak(magnitude: object, operator: object) -> Peak:
    return Peak(None if magnitude is None else _of(float, magnitude), _of(str, operator))


def _of(kind: type[T], value: object) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r:.60} instead of a {kind.__name__}")
    return value
