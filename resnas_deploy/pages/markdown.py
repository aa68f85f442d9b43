"""Markdown for where no page can stand: summaries of CI jobs, comments of pull requests, notes of merge requests.

GitHub's dialect is the aim (https://github.github.com/gfm/), of which GitLab and others render as much: tables (section
4.10), fences (4.5), code spans (6.3). Names come from files and may hold anything, so they stand in code spans: nothing
in one is a link, a mention of somebody, or HTML.
"""

from __future__ import annotations

import re

from resnas_deploy.pages.table import Table

_HARMLESS = re.compile(r"[A-Za-z0-9.,%:+ -]*")
MOST_CELL = 120  # characters


def code(text: str) -> str:
    """Return a text as a code span of one line, in tables too, where a bar must be escaped even there (4.10)."""
    text = plain(text)
    text = text if len(text) <= MOST_CELL else f"{text[: MOST_CELL - 3]}..."
    return f"`{text.replace('|', chr(92) + '|')}`" if text else ""


def plain(text: str) -> str:
    """Return a text for a fence or a code span: one line, of what can be shown, without the mark that would end it."""
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text.replace("`", "'")


def fence(lines: list[str]) -> str:
    """Return lines as they are, each letter as wide as the next."""
    return "\n".join(["```text", *(line.rstrip() for line in lines), "```"])


def table(content: Table, most: int) -> str:
    """Return a table of at most so many rows, without its title; what is left out is told below."""
    aligned = ["---" if number < content.text_columns else "--:" for number in range(len(content.columns))]
    rows = [content.columns, aligned, *(map(_cell, row) for row in content.rows[:most])]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    left_out = len(content.rows) - most
    return "\n".join(lines) + (f"\n\nand {left_out} more" if left_out > 0 else "")


def _cell(text: str) -> str:
    return text if _HARMLESS.fullmatch(text) and len(text) <= MOST_CELL else code(text)
