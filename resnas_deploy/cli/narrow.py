"""Help that fills its lines, whatever the terminal; on a narrow one plain, but for examples, a line each to copy."""

from __future__ import annotations

import re
from typing import Any

LEAST_COLUMNS = 80  # for tables in the help, which cut words off where they are narrower
_BROKEN = re.compile(rf"^((?!\$).{{{LEAST_COLUMNS},}}(?<!:))\n(?=[^\n$])", re.MULTILINE)  # a line that has more
_OF_WIDTH = 3  # the names of options take one part of so many at most; longer ones have a line of their own


def narrow(tree: Any) -> None:
    """Make a command of typer's, and those below it, show their help plainly, in the columns that there are."""
    _fit(tree)
    _keep_lines(tree)


def join_lines(command: Any) -> None:
    """Join the lines of paragraphs that end where the source's lines do, which typer's own help leaves as they are.

    Short lines stand as they are, since they are commands to copy, and what follows a colon.
    """
    for sub in getattr(command, "commands", {}).values():
        sub.help = _BROKEN.sub(r"\1 ", sub.help or "")
        join_lines(sub)


def _keep_lines(command: Any) -> None:
    """Give each summary as such, which plain help does not cut at the line's end, and examples a line each."""
    for sub in getattr(command, "commands", {}).values():
        sub.short_help = sub.short_help or (sub.help or "").partition("\n\n")[0]
        sub.help = (sub.help or "").replace("\n\nExamples:\n", "\n\n\b\nExamples:\n")  # which is not filled
        _keep_lines(sub)


def _fit(command: Any) -> None:
    plain: Any = command.context_class.formatter_class
    context: Any = command.context_class

    class Fitting(plain):  # type: ignore[misc]  # typer's own class, which it does not export
        def write_dl(self, rows: Any, col_max: int = 30, col_spacing: int = 2) -> None:
            super().write_dl(rows, min(col_max, self.width // _OF_WIDTH), col_spacing)

    class Context(context):  # type: ignore[misc]  # as above
        formatter_class = Fitting

    command.context_class = Context
    for sub in getattr(command, "commands", {}).values():
        _fit(sub)
