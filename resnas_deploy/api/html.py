"""Tables: as the command line prints them, and as notebooks show them."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

_RIGHT = ' style="text-align: right"'


@dataclass(frozen=True)
class Table:
    """A table. Its first `text_columns` columns are texts, aligned left; the others are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1

    def html(self) -> str:
        """Return it as HTML."""
        body = "".join(self._row(cells, "td") for cells in self.rows)
        return (
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead>{self._row(self.columns, 'th')}</thead><tbody>{body}</tbody></table>"
        )

    def _row(self, cells: Sequence[str], tag: str) -> str:
        parts = (
            f"<{tag}{'' if number < self.text_columns else _RIGHT}>{html.escape(cell)}</{tag}>"
            for number, cell in enumerate(cells)
        )
        return f"<tr>{''.join(parts)}</tr>"


class Tabular:
    """A result that is a table where it is shown."""

    def table(self) -> Table:
        """Return the result as a table."""
        raise NotImplementedError  # each result has its own columns

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return self.table().html()
