"""Tables: as the command line prints them, as notebooks show them, and as pages do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnas_deploy.pages import escaping

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
        caption = f"<caption>{escaping.text(self.title)}</caption>" if self.title else ""
        body = "".join(self._row(cells, "td") for cells in self.rows)
        return f"<table>{caption}<thead>{self._row(self.columns, 'th')}</thead><tbody>{body}</tbody></table>"

    def _row(self, cells: Sequence[str], tag: str) -> str:
        parts = (
            f"<{tag}{'' if number < self.text_columns else _RIGHT}>{escaping.text(cell)}</{tag}>"
            for number, cell in enumerate(cells)
        )
        return f"<tr>{''.join(parts)}</tr>"
