"""What a search's report tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnas_deploy.searching.candidate import Candidate
from resnas_deploy.searching.costs import ENERGY, LATENCY, CostName
from resnas_deploy.searching.finalists import Finalist
from resnas_deploy.searching.found import Searched
from resnas_deploy.searching.measured_limits import MeasuredLimit


@dataclass(frozen=True)
class ReportedSearch:
    """A search that has scored its candidates, whether its finalists were measured or not."""

    searched: Searched
    costs: Sequence[CostName]  # in the order of the candidates'; those that are kinds can be counted here
    limits: Sequence[MeasuredLimit]  # on what finalists are measured at
    candidates: Sequence[Candidate]
    finalists: Sequence[Finalist]
    chosen: Finalist | None = None  # the winner, if there is one yet

    @property
    def shown(self) -> Finalist:
        """Return the winner, or before there is one the best that was predicted."""
        return self.chosen or self.finalists[0]


def cost_label(cost: CostName) -> str:
    """Return what people call a cost."""
    return f"predicted {cost.name}" if cost.name in (LATENCY, ENERGY) else cost.name
