"""Charts as one file of SVG that needs no script, for where pages cannot stand: the same text from the same figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from resnas_deploy.pages import escaping

# A palette that people with any colour vision can tell apart (Okabe and Ito, 2008), dark enough on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#B5568F", "#8A6D00", "#3A3A3A")
_WIDTH, _HEIGHT = 320, 240  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 14, 26, 38  # of it, around its axes
_LEGEND = 26
_ROOM = 1.12  # beyond the outermost points of a logarithmic axis


@dataclass(frozen=True)
class Line:
    """Points of one kind, joined in their order."""

    name: str
    colour: int  # of `COLOURS`
    points: Sequence[tuple[float, float]]
    marks: Sequence[str] = ()  # a short text at each point
    strong: bool = False


@dataclass(frozen=True)
class Panel:
    """A chart of its own: a logarithmic axis across, a linear one up."""

    title: str
    across: str  # the axis's label, with its unit
    lines: Sequence[Line]
    ticks: Sequence[float]


@dataclass(frozen=True)
class Still:
    """Panels in rows under one legend. All have the same upward axis."""

    title: str
    up: str  # the upward axis's label
    panels: Sequence[Panel]
    columns: int = 3
    note: str = ""  # below the panels

    def svg(self) -> str:
        """Return the text of the file."""
        columns = min(self.columns, len(self.panels))
        rows = math.ceil(len(self.panels) / columns)
        width, height = columns * _WIDTH, rows * _HEIGHT + _LEGEND + (20 if self.note else 4)
        low, high = _bounds([y for panel in self.panels for line in panel.lines for _, y in line.points])
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" font-family="system-ui, sans-serif" font-size="11">',
            f"<title>{escaping.text(self.title)}</title>",
            f'<rect width="{width}" height="{height}" fill="#fff"/>',
            *self._legend(),
        ]
        for number, panel in enumerate(self.panels):
            left, top = number % columns * _WIDTH, _LEGEND + number // columns * _HEIGHT
            parts += [f'<g transform="translate({left} {top})">', *_drawn(panel, self.up, low, high), "</g>"]
        if self.note:
            parts.append(_text(8, height - 7, self.note, fill="#555"))
        return "\n".join([*parts, "</svg>"]) + "\n"

    def _legend(self) -> Iterator[str]:
        lines = {line.name: line for panel in self.panels for line in panel.lines}
        left = 12.0
        for name, line in lines.items():
            yield f'<circle cx="{left:g}" cy="14" r="4" fill="{COLOURS[line.colour]}"/>'
            yield _text(left + 8, 18, name, weight="bold" if line.strong else "")
            left += 28 + 7 * len(name)


def _drawn(panel: Panel, up: str, low: float, high: float) -> Iterator[str]:
    values = [x for line in panel.lines for x, _ in line.points]
    least, most = min(values) / _ROOM, max(values) * _ROOM
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def across(value: float) -> float:
        return _LEFT + (right - _LEFT) * math.log(value / least) / math.log(most / least)

    def upward(value: float) -> float:
        return bottom - (bottom - _TOP) * (value - low) / (high - low)

    yield _text(_LEFT, 14, panel.title, weight="bold")
    yield _text(_WIDTH - _RIGHT, _HEIGHT - 8, panel.across, anchor="end", fill="#555")
    yield _text(4, 25, up, fill="#555", size=9)
    for level in range(math.ceil(low / 2) * 2, math.floor(high) + 1, 2):
        yield f'<path d="M{_LEFT} {upward(level):.1f}H{right}" stroke="#e2e2e2"/>'
        yield _text(_LEFT - 5, upward(level) + 4, str(level), anchor="end", fill="#555")
    for tick in panel.ticks:
        yield f'<path d="M{across(tick):.1f} {bottom}v4" stroke="#999"/>'
        yield _text(across(tick), bottom + 15, f"{tick:g}", anchor="middle", fill="#555")
    yield f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="#999"/>'
    for line in panel.lines:
        colour = COLOURS[line.colour]
        places = [(across(x), upward(y)) for x, y in line.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{2.4 if line.strong else 1.3}"/>'
        yield from (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{3.6 if line.strong else 2.8}" fill="{colour}"/>' for x, y in places
        )
        for (x, y), mark in zip(places, line.marks, strict=False):
            yield _text(x, y - 6, mark, anchor="middle", fill=colour, size=9)


def _bounds(values: Iterable[float]) -> tuple[float, float]:
    """Return a little more than the range of what stands upward."""
    found = list(values)
    margin = 0.08 * (max(found) - min(found)) or 1.0
    return min(found) - margin, max(found) + 1.6 * margin


def _text(
    x: float, y: float, content: str, *, anchor: str = "", fill: str = "#1a1a1a", weight: str = "", size: int = 0
) -> str:
    more = "".join(
        f' {name}="{value}"'
        for name, value in (("text-anchor", anchor), ("font-weight", weight), ("font-size", size or ""))
        if value
    )
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}"{more}>{escaping.text(content)}</text>'
