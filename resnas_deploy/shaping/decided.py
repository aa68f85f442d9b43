"""A list of a space with what was decided of its values, and the space that all of them leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.shaping.candidates import Dimension, Value
from resnas_deploy.shaping.costs import Costs
from resnas_deploy.shaping.pieces import piece
from resnas_deploy.shaping.result import ShapedDimension, ShapedValue
from resnas_deploy.shaping.rules import DROPPED, KEPT, Verdict, decide, taken


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
        costs, may_replace = self.costs, self.dimension.may_replace
        return decide(
            values,
            choices,
            dominates=lambda one, other: may_replace(one, other) and costs.dominates(one, other),
            dearer=lambda one, other: not may_replace(one, other) or costs.dearer(one, other),
        )

    @property
    def grown(self) -> bool:
        """Whether its widest value is wider than before."""
        return self.widest != self.dimension.choices[0]

    @property
    def widest(self) -> Value:
        """The widest value that is left."""
        return taken(self.verdicts)[0]

    def within_widest(self) -> Decided:
        """Return it with nothing above what the space had."""
        others = self.dimension.up_to(self.dimension.choices[0])
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
    stages: list[StageSpace] = [*space.stages]
    changed: dict[str, Any] = {}
    for each in found:
        values, dimension = taken(each.verdicts), each.dimension
        if set(values) == set(dimension.choices):
            continue
        if dimension.stage is None:
            changed[dimension.name] = values
        else:
            of_stage: dict[str, Any] = {dimension.name: values}
            stages[dimension.stage] = replace(stages[dimension.stage], **of_stage)
    return replace(space, name=name, stages=tuple(stages), **changed)


def _value(verdict: Verdict, decided: Decided, space: SearchSpace) -> ShapedValue:
    value, costs = verdict.value, decided.costs
    if costs is None:
        return ShapedValue(value, verdict.outcome, macs(piece(space, decided.dimension, value)))
    beside = verdict.by if verdict.outcome == DROPPED else next(_neighbours(verdict, decided), None)
    ratio = None if beside is None else costs.ratio(*sorted((value, beside), key=decided.dimension.values.index))
    return ShapedValue(
        value, verdict.outcome, macs(costs.archs[value]), beside=beside, ratio=ratio, **costs.figures(value)
    )


def _neighbours(verdict: Verdict, decided: Decided) -> Iterator[Value]:
    """Yield the values that one is shown beside: of one that is kept, wider ones; of a new one, narrower choices."""
    value, values, may_replace = verdict.value, decided.dimension.values, decided.dimension.may_replace
    place = values.index(value)
    if verdict.outcome == KEPT:
        wider = [each for each in reversed(values[:place]) if each in taken(decided.verdicts)]
        yield from (each for each in wider if may_replace(each, value))
    else:
        narrower = [each for each in values[place + 1 :] if each in decided.dimension.choices]
        yield from (each for each in narrower if may_replace(value, each))
