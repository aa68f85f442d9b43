"""Bars that need no script: of correlations, from -1 to 1, and of shares, which add up to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnas_deploy.pages import escaping


@dataclass(frozen=True)
class CorrelationTable:
    """A table of names and correlations, each a number with a bar to the left or to the right; None is not defined."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[float | None]]]

    def html(self) -> str:
        """Return it as HTML."""
        head = "".join(f"<th>{escaping.text(name)}</th>" for name in self.columns)
        body = "".join(
            f"<tr><th scope=row>{escaping.text(name)}</th>{''.join(map(_correlation, values))}</tr>"
            for name, values in self.rows
        )
        return (
            f'<table class="correlations"><caption>{escaping.text(self.title)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def _correlation(value: float | None) -> str:
    if value is None:
        return "<td><span class=number>-</span></td>"
    left, width = (50 + 50 * min(value, 0), 50 * abs(value))
    kind = "less" if value < 0 else "more"
    return (
        f"<td><span class=number>{value if abs(value) >= 0.005 else 0.0:+.2f}</span><span class=axis aria-hidden=true>"
        f'<span class={kind} style="left:{left:.1f}%;width:{width:.1f}%"></span></span></td>'
    )


@dataclass(frozen=True)
class SharesChart:
    """A bar for each name, cut into shares of one; the colours are the same in all."""

    title: str
    bars: Sequence[tuple[str, Mapping[str, float]]]

    def html(self) -> str:
        """Return it as HTML."""
        kinds = list(dict.fromkeys(kind for _, shares in self.bars for kind in shares))
        colours = {kind: number % 8 for number, kind in enumerate(kinds)}
        legend = "".join(
            f'<li><span class="swatch c{colours[kind]}"></span>{escaping.text(kind)}</li>' for kind in kinds
        )
        bars = "".join(
            f"<div class=share-name>{escaping.text(name)}</div><div class=shares>{_shares(name, shares, colours)}</div>"
            for name, shares in self.bars
        )
        return (
            f"<figure><figcaption>{escaping.text(self.title)}</figcaption><ul class=legend>{legend}</ul>{bars}</figure>"
        )


def _shares(name: str, shares: Mapping[str, float], colours: Mapping[str, int]) -> str:
    return "".join(
        f'<span class="c{colours[kind]}" style="flex-grow:{max(share, 0):.4f}" tabindex=0 role=img '
        f"{tip(f'{name}{chr(10)}{kind}: {share:.1%}')}></span>"
        for kind, share in shares.items()
    )


def tip(content: str) -> str:
    """Return the attributes of an element whose tip is shown when it is pointed at or chosen by the keyboard."""
    escaped = escaping.text(content)
    return f'data-tip="{escaped}" aria-label="{escaped.replace(chr(10), "; ")}"'
