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

Told = Callable[[Value, Value], bool]  # something of a wider value and a narrower one, in this order


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


def decide(values: Sequence[Value], choices: Collection[Value], dominates: Told, dearer: Told) -> tuple[Verdict, ...]:
    """Say of each value what becomes of it. `values` go from the widest to the narrowest; `choices` are the space's.

    `dominates` says whether the wider of two may take the place of the other at no more cost, `dearer` whether it
    surely costs more or may not take its place; neither is true of what the noise leaves open.

    From the widest on, a choice is dropped where a wider value dominates it, and the widest such one stands in its
    place: one that is kept, or a new one. New ones between them that dominate it too come as well where everything
    wider is dearer: they are what is had for less. A new value is taken for nothing else, and not where one that is
    kept dominates it. A choice that was dropped drops no other: costs that differ by little each would add up unseen.
    So something is always kept, and for each choice there is a value at least as wide at no more than its cost.
    """
    verdicts = {value: Verdict(value, NOT_TAKEN) for value in values if value not in choices}
    kept: list[Value] = []
    for place, value in enumerate(values):
        if value not in choices:
            continue
        instead = [
            other
            for number, other in enumerate(values[:place])
            if (other in kept or (other not in choices and not _any(dominates, values[:number], other, kept)))
            and dominates(other, value)
        ]
        if not instead:
            verdicts[value] = Verdict(value, KEPT)
            kept.append(value)
            continue
        verdicts[value] = Verdict(value, DROPPED, instead[0])
        for other in instead:
            wider = values[: values.index(other)]
            if other not in kept and (other == instead[0] or all(dearer(one, other) for one in wider if one in kept)):
                verdicts[other] = Verdict(other, ADDED)
                kept.append(other)
    return tuple(verdicts[value] for value in values)


def taken(verdicts: Sequence[Verdict]) -> tuple[Value, ...]:
    """Return the values that a dimension then has, in their order."""
    return tuple(each.value for each in verdicts if each.outcome in (KEPT, ADDED))


def _any(dominates: Told, wider: Sequence[Value], value: Value, kept: Collection[Value]) -> bool:
    return any(other in kept and dominates(other, value) for other in wider)
