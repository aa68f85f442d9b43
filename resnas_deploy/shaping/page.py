"""The page of a shaping: what each list's values cost, and what became of each."""

from __future__ import annotations

from resnas_deploy.pages.page import Beside, Chart, Items, Page, Part, Section, Text
from resnas_deploy.pages.plot import Axis, Plot, Series
from resnas_deploy.pages.table import Table
from resnas_deploy.shaping.candidates import MIXERS
from resnas_deploy.shaping.result import ShapedDimension, ShapedValue, Shaping
from resnas_deploy.shaping.rules import ADDED, DROPPED, KEPT, NOT_TAKEN

_COLOURS = {KEPT: 0, ADDED: 2, DROPPED: 1, NOT_TAKEN: 7}


def page(found: Shaping) -> Page:
    """Return the page."""
    machine = f"{found.machine.described}; " if found.machine else ""
    parts: list[Part] = [
        Text(f"{machine}{found.how}; {found.counts()}"),
        Items([*_widest(found), *found.notes]),
    ]
    for stage in dict.fromkeys(each.stage for each in found.dimensions):
        members = [each for each in found.dimensions if each.stage == stage]
        charts = [_chart(each, found) for each in members if each.measured and each.name != MIXERS]
        parts.append(Section("Stem" if stage is None else f"Stage {stage}", [Beside(charts), *map(_table, members)]))
    return Page(f"{found.before.name} shaped for this device", tuple(parts))


def _widest(found: Shaping) -> list[str]:
    if (ratio := found.widest) is None:
        return []
    return [f"The widest subnet costs {ratio.value:.3f} of that of before ({ratio.low:.3f} to {ratio.high:.3f})"]


def _chart(dimension: ShapedDimension, found: Shaping) -> Chart:
    series = []
    for outcome, colour in _COLOURS.items():
        members = [(each, why) for each, why in dimension.lines() if each.outcome == outcome]
        if members:
            x, y = [float(each.value) for each, _ in members], [_cost(each) for each, _ in members]
            tips = [f"{each.value}, {why}" for each, why in members]
            series.append(Series(outcome, x, y, colour=colour, tips=tips))
    label = "kernels" if found.counted else "ms of its network"
    return Plot(Axis(dimension.name), Axis(label), series).chart(dimension.where)


def _cost(value: ShapedValue) -> float:
    return value.ms if value.ms is not None else float(value.kernels or 0)


def _table(dimension: ShapedDimension) -> Table:
    rows = [
        (str(each.value), each.outcome if dimension.decided else "not measured", why) for each, why in dimension.lines()
    ]
    return Table(dimension.where, ("value", "", "why"), rows, text_columns=3)
