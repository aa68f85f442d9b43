"""A list of a space with what was decided of its values, and the space that all of them leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.shaping.candidates import Dimension
from resnas_deploy.shaping.costs import Costs
from resnas_deploy.shaping.pieces import piece
from resnas_deploy.shaping.result import ShapedDimension, ShapedValue
from resnas_deploy.shaping.rules import ADDED, DROPPED, KEPT, Verdict, decide, taken


@dataclass(frozen=True)
class Decided:
    """A dimension with what was measured of it, where it was to the end."""

    dimension: Dimension
    costs: Costs | None  # None: it stays as it was

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        values, choices = self.dimension.values, self.dimension.choices
        if self.costs is None:
            return tuple(Verdict(value, KEPT) for value in choices)
        return decide(values, choices, self.costs.dominates)

    @property
    def grown(self) -> bool:
        """Whether its widest value is wider than before."""
        return max(taken(self.verdicts)) > max(self.dimension.choices)

    def within_widest(self) -> Decided:
        """Return it with nothing above what the space had."""
        most = max(self.dimension.choices)
        others = tuple(other for other in self.dimension.others if other < most)
        return replace(self, dimension=replace(self.dimension, others=others))

    def shaped(self, space: SearchSpace) -> ShapedDimension:
        """Return it for people and programs."""
        stage = self.dimension.stage
        values = tuple(_value(each, self, space) for each in self.verdicts)
        return ShapedDimension(
            None if stage is None else stage + 1,
            self.dimension.name,
            self.costs is not None or len(self.dimension.values) == 1,
            values,
        )


def left(space: SearchSpace, found: Sequence[Decided], name: str) -> SearchSpace:
    """Return the space with what was decided. A list that nothing changed in stays in its order."""
    stages, stem = list(space.stages), space.stem_mid_widths
    for each in found:
        values, dimension = taken(each.verdicts), each.dimension
        if set(values) == set(dimension.choices):
            continue
        if dimension.stage is None:
            stem = values
        else:
            changed: dict[str, Any] = {dimension.name: values}
            stages[dimension.stage] = replace(stages[dimension.stage], **changed)
    return replace(space, name=name, stages=tuple(stages), stem_mid_widths=stem)


def _value(verdict: Verdict, decided: Decided, space: SearchSpace) -> ShapedValue:
    value, costs = verdict.value, decided.costs
    if costs is None:
        return ShapedValue(value, verdict.outcome, macs(piece(space, decided.dimension, value)))
    beside = verdict.by if verdict.outcome == DROPPED else next(_neighbours(verdict, decided), None)
    ratio = None if beside is None else costs.ratio(max(value, beside), min(value, beside))
    return ShapedValue(
        value, verdict.outcome, macs(costs.archs[value]), beside=beside, ratio=ratio, **costs.figures(value)
    )


def _neighbours(verdict: Verdict, decided: Decided) -> Iterator[int]:
    """Yield the values that one is shown beside: of one that is kept, wider ones; of a new one, narrower choices."""
    value = verdict.value
    if verdict.outcome == KEPT:
        yield from (each for each in reversed(taken(decided.verdicts)) if each > value)
    elif verdict.outcome == ADDED:
        yield from (each.value for each in decided.verdicts if each.by == value)
    else:
        yield from (each for each in decided.dimension.choices if each < value)
