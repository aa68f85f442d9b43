"""The page of a comparison: published top-1 against MACs, and against throughput as measured in any of the settings."""

from __future__ import annotations

from resnas_deploy.measuring.tradeoff.charts import (
    ACCURACY,
    FAMILIES,
    accuracy_text,
    families,
    figures_table,
    points_of,
    sources_table,
    steps_of_ten,
    threads_text,
)
from resnas_deploy.measuring.tradeoff.contenders import Contender
from resnas_deploy.measuring.tradeoff.result import Point, Tradeoff
from resnas_deploy.pages.escaping import rounded
from resnas_deploy.pages.page import Beside, Chart, Items, Page, Part, Text
from resnas_deploy.pages.plot import Axis, Plot, Series

TITLE = "Accuracy against cost on this machine"


def page(tradeoff: Tradeoff) -> Page:
    """Return the page."""
    machine = tradeoff.machine
    parts: list[Part] = [
        Text(f"{machine.described}; {threads_text(tradeoff)} each"),
        Items(tradeoff.notes()),
    ]
    if families(tradeoff):
        measured = [_measured(tradeoff)] if tradeoff.settings else []  # none where everything was out of memory
        parts.append(Beside((_macs(tradeoff), *measured)))
    return Page(TITLE, (*parts, figures_table(tradeoff), sources_table(tradeoff)))


def _macs(tradeoff: Tradeoff) -> Chart:
    found = families(tradeoff)
    series = [
        Series(
            family,
            x=[each.gmacs for each in members],
            y=[each.top1 or 0.0 for each in members],
            form="line",
            colour=FAMILIES.index(family),
            tips=["\n".join(_said(each)) for each in members],
        )
        for family, members in found.items()
    ]
    ticks = steps_of_ten([each.gmacs for members in found.values() for each in members])
    return Plot(Axis("MACs of an image, G", log=True, ticks=ticks), Axis(ACCURACY), series).chart(
        "Top-1 against MACs, both as published"
    )


def _measured(tradeoff: Tradeoff) -> Chart:
    settings = tradeoff.settings
    by_setting = [points_of(tradeoff, setting) for setting in settings]

    def at(name: str) -> list[dict[str, float] | None]:
        return [_figures(points[name]) if name in points else None for points in by_setting]

    return Chart(
        "tradeoff",
        "Top-1 as published against throughput as measured here",
        {
            "x": "images a second",
            "y": ACCURACY,
            "settings": [
                {"runner": setting.runner, "precision": setting.precision, "batch": str(setting.batch)}
                for setting in settings
            ],
            "families": [
                {
                    "name": family,
                    "colour": FAMILIES.index(family),
                    "networks": [{"top1": each.top1, "said": _said(each), "at": at(each.name)} for each in members],
                }
                for family, members in families(tradeoff).items()
            ],
        },
    )


def _figures(point: Point) -> dict[str, float]:
    found = {"x": point.images_per_second, "low": point.low, "high": point.high, "ms": point.ms}
    return {name: rounded(value) for name, value in found.items()}


def _said(contender: Contender) -> list[str]:
    source = f"{contender.top1_is}: {contender.top1_from}" if contender.top1_from else contender.top1_is
    return [
        contender.name,
        f"top-1 {accuracy_text(contender)} % ({source})",
        f"{contender.gmacs:.3g} G MACs, {contender.parameters / 1e6:.1f} M parameters",
    ]
