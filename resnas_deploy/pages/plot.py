"""Points and lines, as the script `plot.js` draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resnas_deploy.pages.escaping import rounded
from resnas_deploy.pages.page import Chart

Numbers = Sequence[float]


@dataclass(frozen=True)
class Axis:
    """What an axis shows."""

    label: str  # with its unit
    zero: bool = False  # whether it begins at zero
    log: bool = False  # powers of two are as far apart as each other
    ticks: Numbers = ()  # where they stand; () chooses


@dataclass(frozen=True)
class Series:
    """Points of one kind. Lengths of all that is given are equal."""

    name: str
    x: Numbers
    y: Numbers
    form: Literal["points", "line", "step"] = "points"
    colour: int = 0  # of the page's eight
    marker: Literal["", "circle", "square"] = "circle"  # of each point
    y_low: Numbers = ()  # the interval of each y
    y_high: Numbers = ()
    band: bool = False  # intervals of y as a band, and not as a bar for each point
    tips: Sequence[str] = ()  # of each point, in lines; () says its figures


@dataclass(frozen=True)
class Limit:
    """An upright line, and what stands for it in the legend."""

    at: float
    label: str


@dataclass(frozen=True)
class Plot:
    """Series on the same axes."""

    x: Axis
    y: Axis
    series: Sequence[Series]
    diagonal: bool = False  # a line where both axes are equal
    limits: Sequence[Limit] = ()

    def chart(self, title: str) -> Chart:
        """Return it as a part of a page."""
        return Chart(
            "plot",
            title,
            {
                "x": _axis(self.x),
                "y": _axis(self.y),
                "series": [_series(item) for item in self.series],
                "diagonal": self.diagonal,
                **(
                    {"limits": [{"at": limit.at, "label": limit.label} for limit in self.limits]} if self.limits else {}
                ),
            },
        )


def _axis(axis: Axis) -> dict[str, object]:
    return {"label": axis.label, "zero": axis.zero, "log": axis.log, "ticks": list(axis.ticks)}


def _series(series: Series) -> dict[str, object]:
    """Return what the script reads; what is empty is left out."""
    numbers = {
        "x": series.x,
        "y": series.y,
        "yLow": series.y_low,
        "yHigh": series.y_high,
    }
    return {
        "name": series.name,
        "form": series.form,
        "colour": series.colour,
        "marker": series.marker,
        "band": series.band,
        **{name: [rounded(value) for value in values] for name, values in numbers.items() if len(values)},
        **({"tips": list(series.tips)} if series.tips else {}),
    }
