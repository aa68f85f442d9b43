"""The batch sizes that an artifact is made for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from resnas_deploy.errors import BadInput, shown, whole_number

MAX_BATCH = 4096


@dataclass(frozen=True)
class BatchRange:
    """From `least` to `most` images, both included; one size where they are equal."""

    least: int
    most: int

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most <= MAX_BATCH:
            raise BadInput(
                f"a batch range must be LEAST:MOST with 1 <= LEAST <= MOST <= {MAX_BATCH}, "
                f"found {self.least}:{self.most}"
            )

    @staticmethod
    def parse(text: str) -> BatchRange:
        """Read `1:64` (a range) or `8` (a fixed size)."""
        first, colon, last = text.partition(":")
        least, most = whole_number(first), whole_number(last if colon else first)
        if least is None or most is None:
            raise BadInput(
                f"a batch must be a number such as 8 or a range such as 1:64, found {shown(text)}; "
                f"of LEAST:MOST, 1 <= LEAST <= MOST <= {MAX_BATCH}"
            )
        return BatchRange(least, most)

    @property
    def fixed(self) -> bool:
        """Whether there is one size only."""
        return self.least == self.most

    @property
    def formed(self) -> int:
        """The batch that a server under load forms: the largest, unless it is told to prefer others.

        That is what Triton's dynamic batcher does (its guide "Batchers", Preferred Batch Sizes), so it is what an
        engine is tuned for where nothing else is said.
        """
        return self.most

    def nearest(self, size: int) -> int:
        """Return the size in the range that is nearest to `size`."""
        return max(self.least, min(self.most, size))

    def extended_to(self, size: int) -> BatchRange:
        """Return the range, with a larger end where `size` lies beyond it."""
        return BatchRange(self.least, max(self.most, size))

    def __contains__(self, batch: int) -> bool:
        return self.least <= batch <= self.most

    def __str__(self) -> str:
        return str(self.least) if self.fixed else f"{self.least}:{self.most}"


class Profile(Protocol):
    """Batch sizes that an engine takes in one way, `least` to `most`, and the one that this is tuned for."""

    @property
    def least(self) -> int: ...
    @property
    def usual(self) -> int: ...
    @property
    def most(self) -> int: ...


P = TypeVar("P", bound=Profile)


def profile_for(profiles: Iterable[P], batch: int) -> P | None:
    """Return the profile that a batch is run in: of those that hold it the one that is tuned nearest to it, if any."""
    able = (profile for profile in profiles if profile.least <= batch <= profile.most)
    return min(able, key=lambda profile: abs(profile.usual - batch), default=None)


USUAL = BatchRange(1, 64)  # of a graph for which none is asked
