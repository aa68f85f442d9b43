"""The history of a gate: each case over its baseline, commit by commit."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from resnas_deploy.api.html import Table, Tabular
from resnas_deploy.api.parameters import checked
from resnas_deploy.files.outputs import write_text
from resnas_deploy.measuring.history import charts
from resnas_deploy.measuring.history import history as keeping


@dataclass(frozen=True)
class History(keeping.History, Tabular):
    """The runs of a gate, in the order of the file: `records` has all of them, typed."""

    def table(self) -> Table:
        """Return how each case stands, a row for each."""
        return charts.cases_table(self)

    @checked
    def save_page(self, path: str | Path, *, force: bool = False) -> None:
        """Write a page of HTML that needs no other file. Raise `BadInput` where `force` must replace one."""
        write_text(Path(path), charts.page(self).html(), replace=force)


@checked
def history(file: str | Path) -> History:
    """Read what `gate` has kept in the file of a history, a run a line.

    A last line that a killed process left unfinished is left out, and `notes` tells of it. Raise `BadInput`, with the
    number of the line, where something else stands in the file.
    """
    found = keeping.read_history(Path(file))
    return History(**{field.name: getattr(found, field.name) for field in fields(found)})
