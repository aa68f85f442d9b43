"""What the page and the picture of a comparison show alike: families as lines of points."""

from __future__ import annotations

from collections.abc import Sequence

from resnas_deploy.measuring.tradeoff.contenders import OURS, YOURS, Contender
from resnas_deploy.measuring.tradeoff.result import Point, Tradeoff, TradeoffSetting
from resnas_deploy.pages.table import Table

FAMILIES = (OURS, "DeiT", "PiT", "PVT", "Swin", YOURS)  # each has the colour of its place
ACCURACY = "top-1 as published, %"


def families(tradeoff: Tradeoff) -> dict[str, list[Contender]]:
    """Return the networks that a chart can show, by family, in order of MACs."""
    found: dict[str, list[Contender]] = {}
    for family in FAMILIES:
        members = [each for each in tradeoff.asked.contenders if each.family == family and each.top1 is not None]
        if members:
            found[family] = sorted(members, key=lambda each: each.gmacs)
    return found


def points_of(tradeoff: Tradeoff, setting: TradeoffSetting) -> dict[str, Point]:
    """Return the figures of one setting, by the names of the networks."""
    return {point.network: point for point in tradeoff.points if point.setting == setting}


def accuracy_text(contender: Contender) -> str:
    """Return a top-1 and whose it is."""
    if contender.top1 is None:
        return "-"
    mark = {"published": "", "given": ", as the user gave it", "measured": ", its artifact's own"}
    return f"{contender.top1:.1f}{mark[contender.top1_is]}"


def figures_table(tradeoff: Tradeoff) -> Table:
    """Return images a second, a row for each network and a column for each setting."""
    settings = tradeoff.settings
    by_setting = [points_of(tradeoff, setting) for setting in settings]
    rows = [
        (
            each.name,
            f"{each.gmacs:.2g}" if each.gmacs < 10 else f"{each.gmacs:.1f}",
            f"{each.parameters / 1e6:.1f}",
            accuracy_text(each),
            *(f"{found[each.name].images_per_second:.3g}" if each.name in found else "-" for found in by_setting),
        )
        for each in tradeoff.asked.contenders
    ]
    heads = [f"{setting.runner} {setting.precision} batch {setting.batch}" for setting in settings]
    title = (
        f"Images a second on {tradeoff.machine.described}, {threads_text(tradeoff)}; top-1 as published, not measured"
    )
    return Table(title, ("network", "MACs, G", "parameters, M", "top-1, %", *heads), rows)


def sources_table(tradeoff: Tradeoff) -> Table:
    """Return where each top-1 comes from."""
    rows = [
        (each.name, each.family, accuracy_text(each), each.top1_is, each.top1_from)
        for each in tradeoff.asked.contenders
    ]
    return Table("Where each top-1 comes from", ("network", "family", "top-1, %", "it is", "source"), rows, 5)


def threads_text(tradeoff: Tradeoff) -> str:
    """Return how many threads each network had."""
    count = tradeoff.asked.threads
    return f"{count} thread{'s' if count > 1 else ''}"


def steps_of_ten(values: Sequence[float]) -> list[float]:
    """Return the numbers of 1, 2 and 5 times a power of ten that lie between the least and the largest value."""
    low, high = min(values), max(values)
    steps = (factor * 10.0**power for power in range(-6, 10) for factor in (1, 2, 5))
    return [step for step in steps if low <= step <= high]
