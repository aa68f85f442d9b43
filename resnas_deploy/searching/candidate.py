"""A subnet as the search keeps it: what decides its weights, and what was found about it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from resnas_deploy.arch.spec import Stage, Subnet
from resnas_deploy.files import records
from resnas_deploy.files.reading import parse_json


@dataclass(frozen=True)
class Score:
    """How many of the held-out images a candidate got right."""

    correct: int
    seen: int
    stopped: bool = False  # before it had seen all, since it was hopeless

    @property
    def accuracy(self) -> float:
        """Return top-1 on what it saw, from 0 to 1."""
        return self.correct / max(1, self.seen)


@dataclass(frozen=True)
class Candidate:
    """A subnet with its score and what it costs."""

    subnet: Subnet
    score: Score
    costs: tuple[float, ...]  # one for each of the search's costs, in their order
    iteration: int

    @property
    def rank(self) -> tuple[bool, int, float, tuple[float, ...]]:
        """Return what is larger for a better one: what was stopped sooner is last, of equals the cheaper is first."""
        stopped_at = self.score.seen if self.score.stopped else 0
        return (not self.score.stopped, stopped_at, self.score.accuracy, tuple(-cost for cost in self.costs))


def canonical(subnet: Subnet, widest: Subnet) -> Subnet:
    """Return the same network and weights, written in one way: a dropped block has the widest's dimensions."""
    if all(map(all, subnet.kept)):
        return subnet
    stages = tuple(
        Stage(
            stage.width,
            tuple(own if keep else wide for own, wide, keep in zip(stage.blocks, full.blocks, kept, strict=True)),
        )
        for stage, full, kept in zip(subnet.full.stages, widest.full.stages, subnet.kept, strict=True)
    )
    return Subnet(replace(subnet.full, stages=stages), subnet.kept)


def subnet_line(subnet: Subnet) -> str:
    """Return one line of JSON; the same subnet gives the same line."""
    return json.dumps(records.to_json(subnet), sort_keys=True, separators=(",", ":"))


def subnet_from_line(text: object) -> Subnet:
    """Read what `subnet_line` wrote. Raise `BadInput`."""
    return records.from_json(Subnet, parse_json(text if isinstance(text, str) else "", "a subnet"), "a subnet")


def ignored(done: int) -> None:
    """Do nothing about how many are scored."""
    del done
