"""The finalists of a search as a table: what was predicted, and what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from resnas_deploy.searching.costs import CostName
from resnas_deploy.searching.finalists import Finalist
from resnas_deploy.searching.reported import cost_label


def finalist_table(finalists: Sequence[Finalist], costs: Sequence[CostName]) -> list[tuple[str, ...]]:
    """Return a head and a row for each finalist; predicted and measured latency apart."""
    heads = [f"{cost_label(cost)}, {cost.unit}" for cost in costs]
    quantised = any(item.exported for item in finalists)
    exported = [f"top-1, {finalists[0].artifact.precision}"] if quantised else []
    rows: list[tuple[str, ...]] = [("finalist", "top-1, held out", *exported, *heads, "measured latency, ms")]
    for number, item in enumerate(finalists, start=1):
        measured = item.measured_ms
        beyond = f"{item.told and ', '}{item.told}{'' if item.keeps_limits else ', beyond the limit'}"
        rows.append(
            (
                f"{number}: {item.candidate.subnet.arch.fingerprint}",
                f"{item.candidate.score.accuracy:.2%}",
                *([f"{item.exported.top1:.2%}" if item.exported else ""] if quantised else []),
                *(f"{cost:.3g}" for cost in item.candidate.costs),
                f"{measured:.3g}{beyond}" if measured is not None else item.failure,
            )
        )
    return rows
