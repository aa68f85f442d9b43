"""A history as tables and charts: the ratio of each case to its baseline, run by run, and what changed between runs."""

from __future__ import annotations

from collections.abc import Sequence

from resnas_deploy.measuring.history.history import History
from resnas_deploy.measuring.history.record import Case, GateRecord
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.pages.page import Chart, Folded, Items, Page, Part, Section, Text
from resnas_deploy.pages.plot import Axis, Limit, Plot, Series
from resnas_deploy.pages.table import Table

MOST_ROWS = 2000  # of the page's table of all runs
_MOST_LIMITS = 6  # upright lines in a chart, the last ones, so that its legend can be read
_SHORT = 10  # characters of a commit
_SLOWER, _LINE, _MACHINES = 1, 7, (0, 2, 3, 4, 5)  # colours
Points = Sequence[tuple[int, Case]]


def page(history: History) -> Page:
    """Return a history as a page whose charts answer to the pointer and the keyboard."""
    return Page("Latency by commit", (Text(summary(history)), *map(Text, history.notes()), *sections(history)))


def sections(history: History) -> list[Part]:
    """Return the charts, what changed between runs, and all figures."""
    charts = _charts(history)
    changed = [f"before run {number + 1} ({_called(history, number)}): {what}" for number, what in history.changes()]
    parts: list[Part] = [Section("Each case", charts)] if charts else []
    parts += [Section("What changed between runs", [Items(changed)])] if changed else []
    rows = runs_table(history)
    left_out = len(rows.rows) - MOST_ROWS
    said = [Text(f"The first {left_out} are left out here; the JSON of the history has them.")] if left_out > 0 else []
    shown = Table(rows.title, rows.columns, rows.rows[-MOST_ROWS:], rows.text_columns)
    return [*parts, Folded("All figures", [*said, shown])]


def summary(history: History) -> str:
    """Say in a line how many runs there are, of when, and on how many machines."""
    runs = history.records
    if not runs:
        return f"{history.file} holds no runs yet"
    machines = len({each.machine for each in runs})
    slower = sum(each.regressed for each in runs)
    return (
        f"{len(runs)} run{'' if len(runs) == 1 else 's'} of the gate, {runs[0].date} to {runs[-1].date}, on {machines} "
        f"machine{'' if machines == 1 else 's'}; {slower} found something slower"
    )


def cases_table(history: History) -> Table:
    """Return how each case stands, a row for each."""
    columns = (
        "what",
        "runner",
        "batch",
        "latency",
        "runs",
        "slower",
        "lowest",
        "highest",
        "last/baseline",
        "95% interval",
    )
    rows = []
    for points in history.cases().values():
        number, last = points[-1]
        ratios = [case.ratio.value for _, case in points]
        rows.append(
            (
                *(last.label, last.runner, str(last.batch), last.latency, str(len(points))),
                str(sum(case.verdict == "slower" for _, case in points)),
                *(f"{value:.3f}" for value in (min(ratios), max(ratios), last.ratio.value)),
                f"{last.ratio.low:.3f} to {last.ratio.high:.3f}",
                *(last.verdict, _called(history, number)),
            )
        )
    return Table(f"{summary(history)}; times over the baseline's", (*columns, "", "commit"), rows, 2)


def runs_table(history: History) -> Table:
    """Return all figures, a row for each case of each run."""
    columns = ("date", "commit", "branch", "machine", "case", "run", "now/baseline", "95% interval", "")
    rows = [
        (
            *(each.date, each.commit[:_SHORT], each.branch, each.machine.described, str(case), str(number)),
            *(f"{case.ratio.value:.3f}", f"{case.ratio.low:.3f} to {case.ratio.high:.3f}", case.verdict),
        )
        for number, each in enumerate(history.records, 1)
        for case in each.cases
    ]
    return Table("", columns, rows, 5)


def _charts(history: History) -> list[Chart]:
    machines = list(dict.fromkeys(each.machine for each in history.records))
    limits = [Limit(number + 0.5, f"before run {number + 1}: {_short(what)}") for number, what in history.changes()]
    return [
        Plot(
            Axis("run"),
            Axis("now/baseline"),
            [*_levels(history, points), *_by_machine(history, points, machines), *_slower(history, points)],
            limits=limits[-_MOST_LIMITS:],
        ).chart(str(points[-1][1]))
        for points in history.cases().values()
    ]


def levels(first: int, last: int, threshold: float) -> list[Series]:
    """Return the lines of what is as before, and of what counts as slower, from one number of the x axis to another."""
    return [
        Series(name, [first, last], [level] * 2, "line", _LINE, "", tips=[f"{name}: {level:.3f}"] * 2)
        for name, level in (("the baseline", 1.0), ("slower beyond", threshold))
    ]


def _levels(history: History, points: Points) -> list[Series]:
    """Return those of a case, up to its last run, whose threshold counts."""
    return levels(points[0][0] + 1, points[-1][0] + 1, history.records[points[-1][0]].threshold)


def _by_machine(history: History, points: Points, machines: Sequence[Machine]) -> list[Series]:
    found = []
    for place, machine in enumerate(machines):
        here = [(number, case) for number, case in points if history.records[number].machine == machine]
        if here:
            name = history.records[here[0][0]].machine.described
            name = f"{name} ({place + 1})" if len(machines) > 1 else name
            found.append(_series(history, here, name, _MACHINES[place % len(_MACHINES)]))
    return found


def _slower(history: History, points: Points) -> list[Series]:
    here = [(number, case) for number, case in points if case.verdict == "slower"]
    return [_series(history, here, "slower", _SLOWER, marked=True)] if here else []


def _series(history: History, points: Points, name: str, colour: int, *, marked: bool = False) -> Series:
    return Series(
        name,
        x=[number + 1 for number, _ in points],
        y=[case.ratio.value for _, case in points],
        form="points" if marked else "line",
        colour=colour,
        marker="square" if marked else "circle",
        y_low=[case.ratio.low for _, case in points],
        y_high=[case.ratio.high for _, case in points],
        tips=[_tip(history.records[number], number, case) for number, case in points],
    )


def _tip(each: GateRecord, number: int, case: Case) -> str:
    lines = [
        f"run {number + 1}, {each.date}",
        " ".join(filter(None, (each.commit[:_SHORT], each.branch))),
        f"{case.ratio.value:.3f} ({case.ratio.low:.3f} to {case.ratio.high:.3f}): {case.verdict}",
        f"{case.version}; {each.machine.described}",
    ]
    return "\n".join(filter(None, lines))


def _called(history: History, number: int) -> str:
    each = history.records[number]
    return each.commit[:_SHORT] or each.date


def _short(what: str) -> str:
    return what.partition(" (")[0]
