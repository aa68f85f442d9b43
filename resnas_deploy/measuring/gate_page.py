"""What the gate found as a page: each change with its interval, all figures, and the history where one is kept."""

from __future__ import annotations

from resnas_deploy.measuring.gate import Gated
from resnas_deploy.measuring.gate_summary import headline, remarks
from resnas_deploy.measuring.history.charts import levels, sections
from resnas_deploy.measuring.history.charts import summary as in_a_line
from resnas_deploy.measuring.history.history import History
from resnas_deploy.pages.page import Items, Page, Part, Section, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table


def gate_page(found: Gated, table: Table, history: History | None) -> Page:
    """Return it as a page whose charts answer to the pointer and the keyboard; `table` has a row for each change."""
    parts: list[Part] = [Text(found.machine.described)]
    if found.changes:
        parts.append(_plot(found).chart("Time now over that of the baseline"))
    parts.append(table)
    if said := remarks(found):
        parts.append(Items(said))
    if history is not None:
        parts.append(Section("Run by run", [Text(in_a_line(history)), *map(Text, history.notes())]))
        parts += sections(history)
    return Page(headline(found), parts)


def _plot(found: Gated) -> Plot:
    changes = list(enumerate(found.changes, 1))
    shown = []
    for verdict, colour in (("as before", 0), ("faster", 2), ("slower", 1)):
        here = [(number, change) for number, change in changes if change.verdict == verdict]
        if here:
            shown.append(
                Series(
                    verdict,
                    x=[number for number, _ in here],
                    y=[change.ratio.value for _, change in here],
                    colour=colour,
                    marker="square" if verdict == "slower" else "circle",
                    y_low=[change.ratio.low for _, change in here],
                    y_high=[change.ratio.high for _, change in here],
                    tips=[
                        f"{change.configuration}\n{change.ratio.value:.3f} "
                        f"({change.ratio.low:.3f} to {change.ratio.high:.3f}): {verdict}\n"
                        f"{change.openings} openings, {change.configuration.version}"
                        for _, change in here
                    ],
                )
            )
    return Plot(
        Axis("row of the table", ticks=[number for number, _ in changes]),
        Axis("now/baseline"),
        [*levels(1, len(changes), found.threshold), *shown],
    )
