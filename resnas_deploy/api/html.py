"""Tables as notebooks show them."""

from __future__ import annotations

import html
from collections.abc import Sequence

_RIGHT = ' style="text-align: right"'


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> str:
    """Return an HTML table. The first `text_columns` columns are texts, aligned left; the others are numbers."""

    def row(cells: Sequence[str], tag: str) -> str:
        parts = (
            f"<{tag}{'' if number < text_columns else _RIGHT}>{html.escape(cell)}</{tag}>"
            for number, cell in enumerate(cells)
        )
        return f"<tr>{''.join(parts)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return (
        f"<table><caption>{html.escape(title)}</caption>"
        f"<thead>{row(columns, 'th')}</thead><tbody>{body}</tbody></table>"
    )
