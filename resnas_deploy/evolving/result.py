"""What an evolution of a space did, round by round: `evolved.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.evolving.candidates import accuracies
from resnas_deploy.evolving.moves import Move
from resnas_deploy.files import records
from resnas_deploy.files.atomic import write_json
from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import CostName

SCHEMA = 1
DOCUMENT = "evolved.json"
_PERCENTILES = (0, 10, 50, 90, 100)


@dataclass(frozen=True)
class Spread:
    """How numbers of subnets are distributed: percentiles."""

    least: float
    p10: float
    median: float
    p90: float
    most: float

    @classmethod
    def of(cls, numbers: NDArray[np.float64]) -> Spread:
        """Return that of some numbers."""
        return cls(*np.percentile(numbers, _PERCENTILES).tolist())


@dataclass(frozen=True)
class CostSpread:
    """One cost of the subnets that were scored."""

    name: str
    unit: str
    of_subnets: Spread


@dataclass(frozen=True)
class EvolvedRound:
    """A space, how good its subnets were with its supernet, and where its ranges were moved."""

    number: int  # from 1
    space: SearchSpace
    supernet: str  # digest of the weights that the subnets were scored with
    subnets: int  # that were scored
    accuracy: Spread  # top-1, from 0 to 1
    costs: tuple[CostSpread, ...]  # the first is the one that effects are told of
    moves: tuple[Move, ...]

    @classmethod
    def of(
        cls,
        number: int,
        space: SearchSpace,
        supernet: str,
        costs: Sequence[CostName],
        candidates: Sequence[Candidate],
        moves: tuple[Move, ...],
    ) -> EvolvedRound:
        """Return what is told of a round."""
        spreads = [
            CostSpread(cost.name, cost.unit, Spread.of(np.array([item.costs[place] for item in candidates])))
            for place, cost in enumerate(costs)
        ]
        return cls(number, space, supernet, len(candidates), Spread.of(accuracies(candidates)), tuple(spreads), moves)


@dataclass(frozen=True)
class Evolution:
    """An evolution of a space. The last round has the space that came of it."""

    supernet: str  # digest of the weights that it began with
    data: str  # that subnets were scored on
    held_out: int  # images of it
    asked: str  # the limits in words
    seed: int
    epochs: int  # of each training on
    rounds: tuple[EvolvedRound, ...]
    settled: bool  # whether no range moved any more, before the rounds were used up
    DERIVED: ClassVar = {"schema": int}

    @property
    def space(self) -> SearchSpace:
        """Return the space that came of it."""
        return self.rounds[-1].space

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"schema": SCHEMA, **records.to_json(self)}

    def write(self, folder: Path) -> None:
        """Write the document into a folder. Raise `StorageError` where it cannot be."""
        write_json(folder / DOCUMENT, self.to_json())
