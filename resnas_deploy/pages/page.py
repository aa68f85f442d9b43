"""A page: its parts in their order, its style, and what makes its charts move."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Protocol

from resnas_deploy.pages import escaping
from resnas_deploy.pages.bars import CorrelationTable
from resnas_deploy.pages.gallery import Gallery
from resnas_deploy.pages.table import Table

# In the order in which they need each other.
_SCRIPTS = ("elements.js", "tip.js", "scale.js", "plot.js", "architecture.js", "search.js", "tradeoff.js", "start.js")


class Part(Protocol):
    """Something that stands in a page."""

    def html(self) -> str:
        """Return it as HTML."""
        raise NotImplementedError


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    content: str

    def html(self) -> str:
        """Return it as HTML."""
        return f"<p>{escaping.text(self.content)}</p>"


@dataclass(frozen=True)
class Items:
    """A list of texts."""

    contents: Sequence[str]

    def html(self) -> str:
        """Return it as HTML."""
        return f"<ul>{''.join(f'<li>{escaping.text(content)}</li>' for content in self.contents)}</ul>"


@dataclass(frozen=True)
class Drawing:
    """An `svg` element that was drawn elsewhere; its texts are escaped already."""

    svg: str

    def html(self) -> str:
        """Return it as HTML."""
        return f'<div class="drawing">{self.svg}</div>'


@dataclass(frozen=True)
class Section:
    """Parts under a title."""

    title: str
    parts: Sequence[Part]

    def html(self) -> str:
        """Return it as HTML."""
        return f"<section><h2>{escaping.text(self.title)}</h2>\n{_joined(self.parts)}</section>"


@dataclass(frozen=True)
class Folded:
    """Parts that are shown when their title is chosen."""

    title: str
    parts: Sequence[Part]

    def html(self) -> str:
        """Return it as HTML."""
        return f"<details><summary>{escaping.text(self.title)}</summary>\n{_joined(self.parts)}</details>"


@dataclass(frozen=True)
class Chart:
    """What a script draws of plain data.

    A `plot` has points and lines, a `search` its candidates with filters, a `tradeoff` settings to choose from.
    """

    kind: str
    title: str
    content: object

    def html(self) -> str:
        """Return it as HTML."""
        return (
            f'<figure class="chart" data-kind="{escaping.text(self.kind)}">'
            f"<figcaption>{escaping.text(self.title)}</figcaption>"
            "<noscript><p>Charts are drawn by JavaScript, which is off; the figures are in the tables.</p></noscript>"
            f'<script type="application/json">{escaping.data(self.content)}</script></figure>'
        )


@dataclass(frozen=True)
class Beside:
    """Parts beside each other where there is room."""

    parts: Sequence[Part]

    def html(self) -> str:
        """Return it as HTML."""
        return f'<div class="beside">{_joined(self.parts)}</div>'


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    parts: Sequence[Part]

    def html(self) -> str:
        """Return the text of the file."""
        script = _script()
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        # Nothing is loaded from elsewhere, and no script runs but ours, whatever the page holds.
        policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
        title = escaping.text(self.title)
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
            f"{_joined(self.parts)}</main>\n"
            f"{f'<script>{script}</script>{chr(10)}' if self._moves() else ''}</body>\n</html>\n"
        )

    def _moves(self) -> bool:
        """Whether anything in it needs the script."""
        still = Table | CorrelationTable | Text | Items | Drawing | Gallery
        return any(not isinstance(part, still) for part in _walk(self.parts))


def _walk(parts: Sequence[Part]) -> Iterator[Part]:
    """Yield all parts that hold no others."""
    for part in parts:
        if isinstance(part, Section | Folded | Beside):
            yield from _walk(part.parts)
        else:
            yield part


def _joined(parts: Sequence[Part]) -> str:
    """Return parts below each other. A table that is too wide scrolls by itself, by the keyboard too."""
    return "".join(
        f'<div class="wide" tabindex="0" role="group" aria-label="{escaping.text(part.title or "table")}">'
        f"{part.html()}</div>\n"
        if isinstance(part, Table | CorrelationTable)
        else f"{part.html()}\n"
        for part in parts
    )


@cache
def _script() -> str:
    return '"use strict";\n(() => {\n' + "".join(_asset(name) for name in _SCRIPTS) + "})();\n"


@cache
def _asset(name: str) -> str:
    return (files("resnas_deploy.pages") / "assets" / name).read_text(encoding="utf-8")
