"""What was found when a graph was computed in its own type: its error, and how near each element came to its end.

A runtime may widen what the graph says; what holds wherever the type itself is computed in is this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from resnas_deploy.errors import BadInput
from resnas_deploy.files.records import as_json, to_json
from resnas_deploy.precision import NOT_FINITE

# The largest share of a type's range that a graph may use on the images of verification. A quarter, since four values
# of the largest magnitude may be added before they are divided (pooling), since GELU written as x (1 + erf(x)) doubles,
# and since other images are not these. Networks stay far below it (docs/verification.md).
MARGIN = 0.25


@dataclass(frozen=True)
class Peak:
    """The largest magnitude in an element of the network."""

    magnitude: float | None  # before it was rounded to the type, so it may lie beyond; None: infinite, or no number
    operator: str  # whose result it is: the node's name and its kind

    def share(self, largest: float) -> float:
        """Return its share of a type's largest number; `NOT_FINITE` of what is infinite or no number."""
        return NOT_FINITE if self.magnitude is None else self.magnitude / largest

    def __str__(self) -> str:
        if self.magnitude is None:
            return "NaN or infinity"
        return f"{self.magnitude:,.0f}" if 1000 <= self.magnitude < 1e9 else f"{self.magnitude:.3g}"


@dataclass(frozen=True)
class _Headroom:
    """A peak in JSON, in a list, since the elements' order matters."""

    element: str
    share: float  # which follows from the rest
    magnitude: float | None = field(metadata=as_json(null=True))
    operator: str

    @property
    def peak(self) -> Peak:
        return Peak(self.magnitude, self.operator)


@dataclass(frozen=True)
class OwnArithmetic:
    """A graph in its own type: every operator's result rounded to it, products summed in float32."""

    type: str  # of all that is not quantised: fp16, bf16 or fp32
    largest: float  # its largest number
    margin: float  # the largest share of it that an element may reach
    tolerance: float
    error: float  # of the logits, relative to the reference's largest; `NOT_FINITE` where one was NaN or infinite
    peaks: Mapping[str, Peak] = field(  # by element, in the order of computation
        metadata=as_json("headroom", tuple[_Headroom, ...], lambda found: {item.element: item.peak for item in found})
    )

    def __post_init__(self) -> None:
        if not self.peaks or not self.largest > 0:
            raise BadInput(f"there must be an element and a largest number, found {len(self.peaks)} and {self.largest}")

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        listed = tuple(
            _Headroom(name, peak.share(self.largest), peak.magnitude, peak.operator)
            for name, peak in self.peaks.items()
        )
        return to_json(self) | {"headroom": [to_json(item) for item in listed]}

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

    def __str__(self) -> str:
        error = f"error {self.error:.1e}" if self.error < NOT_FINITE else "a logit that is NaN or infinite"
        tolerance = f"{self.tolerance:.0e}" if self.tolerance < 0.1 else f"{self.tolerance:g}"
        peak = self.peaks[self.beyond or self.nearest]  # of those beyond the margin the first, which the others follow
        share = f"{as_percent(peak.share(self.largest))} of {self.largest:.5g}, {as_percent(self.margin)} allowed"
        return (
            f"in {self.type} arithmetic {error} of tolerance {tolerance}, headroom: at most {peak} "
            f"({share}) at {peak.operator}"
        )


def as_percent(share: float) -> str:
    """Return a share in percent, for people."""
    if share == NOT_FINITE:
        return "no number"
    return f"{share:.2%}" if share >= 1e-4 else "none" if not share else f"{share:.0e}"
