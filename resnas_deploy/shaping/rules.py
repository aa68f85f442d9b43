"""Which values of a dimension are worth having: what is decided, and nothing that measures.

A value goes where a wider one costs no more. Costs are known within intervals: `no_more` says what that means of times.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from resnas_deploy.measuring.statistics import Interval
from resnas_deploy.shaping.candidates import Value

Outcome = Literal["kept", "added", "dropped", "not taken"]
KEPT: Final = "kept"
ADDED: Final = "added"
DROPPED: Final = "dropped"
NOT_TAKEN: Final = "not taken"
MARGIN = 0.03  # that the wider of two may cost more, at the upper end of the interval, and still count as no slower

Dominates = Callable[[Value, Value], bool]  # (wider value, narrower one) -> whether the wider one costs no more


@dataclass(frozen=True)
class Verdict:
    """What becomes of a value."""

    value: Value
    outcome: Outcome
    by: Value | None = None  # the wider value that takes its place, where it is dropped


def no_more(ratio: Interval, limit: float = 1.0) -> bool:
    """Return whether a cost, over another one, is no more than `limit`, beyond the noise.

    It must not be told apart from the limit (the interval begins at or below it), and must be known well enough (it
    ends within `MARGIN` above): of a measurement that tells nothing no choice is dropped.
    """
    return ratio.low <= limit and ratio.high <= limit * (1 + MARGIN)


def decide(values: Sequence[Value], choices: Collection[Value], dominates: Dominates) -> tuple[Verdict, ...]:
    """Say of each value what becomes of it. `values` go from the widest to the narrowest; `choices` are the space's.

    From the widest on, a choice is dropped where a wider value costs no more, and the widest such one stands in its
    place: one that is kept, or a new one. A new one is taken for nothing else, and not where one that is kept costs no
    more than it. A choice that was dropped drops no other: costs that differ by little each would add up unseen.
    So something is always kept, and for each choice there is a value at least as wide at no more than its cost.
    """
    verdicts = {value: Verdict(value, NOT_TAKEN) for value in values if value not in choices}
    kept: list[Value] = []
    for place, value in enumerate(values):
        if value not in choices:
            continue
        wider = (
            other
            for other in values[:place]
            if (other in kept or (other not in choices and not _beaten(other, values, kept, dominates)))
            and dominates(other, value)
        )
        if (best := next(wider, None)) is None:
            verdicts[value] = Verdict(value, KEPT)
            kept.append(value)
            continue
        verdicts[value] = Verdict(value, DROPPED, best)
        if best not in kept:
            verdicts[best] = Verdict(best, ADDED)
            kept.append(best)
    return tuple(verdicts[value] for value in values)


def taken(verdicts: Sequence[Verdict]) -> tuple[Value, ...]:
    """Return the values that a dimension then has, in their order."""
    return tuple(each.value for each in verdicts if each.outcome in (KEPT, ADDED))


def _beaten(value: Value, values: Sequence[Value], kept: Collection[Value], dominates: Dominates) -> bool:
    place = values.index(value)
    return any(other in kept and dominates(other, value) for other in values[:place])
