"""Text from files, such as class names and histories, as Markdown and YAML that says just that."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$!&])")


def plain(text: str) -> str:
    """Return a text on one line in which no character means anything to Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", " ".join(_printable(text).split()))


def code(text: str) -> str:
    """Return a text on one line as code."""
    inside = " ".join(_printable(text).split()).replace("|", "¦")  # which ends a cell of a table, code or not
    fence = "`" * (max(map(len, re.findall("`+", inside)), default=0) + 1)
    pad = " " if "`" in inside else ""
    return f"{fence}{pad}{inside}{pad}{fence}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, whose cells are Markdown already."""
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]


def scalar(value: object) -> str:
    """Return a value as YAML, of which JSON is a part: quoted, in ASCII."""
    return json.dumps(value)


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
