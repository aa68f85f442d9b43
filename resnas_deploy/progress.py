"""Progress: what long work tells of itself while it goes on, to whoever listens."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]  # told what is being done, a few words at a time; some of it is `Counted`


class Counted(str):
    """A text that also says how much is done of how much: whoever wants to can show a bar, a rate, or what is left.

    To whoever does not, it is a text as any other.
    """

    stage: str  # what is counted: texts of one stage are compared with each other
    done: float
    total: float  # 0 where nobody knows: then there is a rate alone
    unit: str  # what there are so many of, in the plural, where their rate tells something; else empty
    tells_left: bool  # whether the text itself says how long it still takes, which it knows better

    def __new__(
        cls,
        text: str,
        done: float = 0,  # what has a default is what a copy through pickle gets as state
        total: float = 0,
        *,
        stage: str = "",
        unit: str = "",
        tells_left: bool = False,
    ) -> Counted:
        """Return the text with what it counts."""
        self = super().__new__(cls, text)
        self.stage, self.done, self.total, self.unit, self.tells_left = stage, done, total, unit, tells_left
        return self

    def after(self, heading: str) -> Counted:
        """Return it with a heading before the text, and before the name of its stage."""
        stage = heading + self.stage
        return Counted(heading + self, self.done, self.total, stage=stage, unit=self.unit, tells_left=self.tells_left)


def counted(what: str, done: float, total: float, unit: str) -> Counted:
    """Return the text of something that is done for so many of so many of a unit: `calibrating: 16/64 images`."""
    return Counted(f"{what}: {done:.0f}/{total:.0f} {unit}", done, total, stage=what, unit=unit)


def silent(text: str) -> None:
    """Listen to nothing."""
    del text


def headed(heading: str, progress: Progress) -> Progress:
    """Return a listener that hears every text with a heading before it; what is counted stays so."""
    return lambda text: progress(text.after(heading) if isinstance(text, Counted) else heading + text)


def part(number: int, parts: int, what: str, progress: Progress, *, counts: str = "", size: float = 1) -> Progress:
    """Return a listener for one of several parts that take about as long, counted from 0, with a heading of its own.

    What it hears counts towards all the parts together: the inner stage `counts` for its share of this one, anything
    else for nothing. One call may stand for `size` parts.
    """
    heading = f"{what} {number + 1} of {parts}, "
    return within(number, parts, heading, progress, stage=what, counts=counts, size=size)


def within(
    done: float,
    total: float,
    heading: str,
    progress: Progress,
    *,
    stage: str,
    counts: str = "",
    size: float = 1,
    tells_left: bool = False,
) -> Progress:
    """Return a listener whose texts, after a heading, count from `done` to `done + size` of a total.

    The inner stage `counts` tells how far it is on the way.
    """
    reached = 0.0

    def hear(text: str) -> None:
        nonlocal reached
        if isinstance(text, Counted) and text.stage == counts and text.total:
            reached = max(reached, text.done / text.total)
        progress(Counted(heading + text, done + reached * size, total, stage=stage, tells_left=tells_left))

    return hear
