"""The tables and the picture of docs/tradeoff.md, from the result of `benchmarks/tradeoff.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from tabulated import RESULTS, ROOT, table

from resnas_deploy.measuring.tradeoff.charts import accuracy_text, figures_table
from resnas_deploy.measuring.tradeoff.picture import picture
from resnas_deploy.measuring.tradeoff.result import Tradeoff, read_tradeoff

PICTURE = ROOT / "docs" / "tradeoff.svg"


@cache
def found() -> Tradeoff:
    """Return what was measured."""
    return read_tradeoff(RESULTS / "tradeoff.json")


def figures() -> str:
    """Return images a second, a row for each network, after the machine and how often each was run."""
    shown, asked = figures_table(found()), found().asked
    rows = {row[0]: row[1:] for row in shown.rows}
    how = f"{found().machine.described}; {asked.runs} runs in {asked.openings} openings, images a second"
    return f"{how}:\n\n{table(('', *shown.columns[1:]), rows)}"


def sources() -> str:
    """Return where each top-1 comes from."""
    rows = {each.name: [each.family, accuracy_text(each), each.top1_from] for each in found().asked.contenders}
    return table(("", "family", "top-1, %", "source"), rows)


def drawn() -> str:
    """Return the text of the picture."""
    return picture(found())


TABLES: dict[str, Callable[[], str]] = {"tradeoff": figures, "tradeoff-sources": sources}
