"""Markdown for where no page can stand: model cards, summaries of CI jobs, comments of pull and merge requests.

GitHub's dialect is the aim (https://github.github.com/gfm/), of which GitLab and others render as much: tables (section
4.10), fences (4.5), code spans (6.3). Names come from files and may hold anything, so they are escaped or stand in code
spans: nothing in one is a link, a mention of somebody, or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from resnas_deploy.pages.table import Table

MOST_CELL = 120  # characters
_HARMLESS = re.compile(r"[A-Za-z0-9.,%:+ -]*")
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$!&])")
_IN_CODE = str.maketrans("`|", "'¦")  # what would end the span, and the cell of a table around it (4.10)


def one_line(text: str) -> str:
    """Return a text on one line, of what can be shown."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def escaped(text: str) -> str:
    """Return a text on one line in which no character means anything to Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def code(text: str) -> str:
    """Return a text as a code span of one line, in tables too; the end of a long one is left out."""
    text = one_line(text).translate(_IN_CODE)
    text = text if len(text) <= MOST_CELL else f"{text[: MOST_CELL - 3]}..."
    return f"`{text}`" if text else ""


def fence(lines: Sequence[str]) -> str:
    """Return lines as they are, each letter as wide as the next."""
    return "\n".join(["```text", *(line.rstrip().translate(_IN_CODE) for line in lines), "```"])


def table(content: Table, most: int) -> str:
    """Return a table of at most so many rows, without its title; what is left out is told below."""
    aligned = ["---" if number < content.text_columns else "--:" for number in range(len(content.columns))]
    lines = row_lines(content.columns, (map(_cell, row) for row in content.rows[:most]), aligned)
    left_out = len(content.rows) - most
    return "\n".join(lines) + (f"\n\nand {left_out} more" if left_out > 0 else "")


def row_lines(columns: Sequence[str], rows: Iterable[Iterable[str]], aligned: Sequence[str] = ()) -> list[str]:
    """Return the lines of a table, whose cells are Markdown already; `aligned` is its second line."""
    return [f"| {' | '.join(row)} |" for row in (columns, aligned or ["---"] * len(columns), *rows)]


def _cell(text: str) -> str:
    return text if _HARMLESS.fullmatch(text) and len(text) <= MOST_CELL else code(text)
