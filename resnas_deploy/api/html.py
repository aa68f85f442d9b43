"""What a notebook shows of a result."""

from __future__ import annotations

from resnas_deploy.pages.table import Table as Table


class Tabular:
    """A result that is a table where it is shown."""

    def table(self) -> Table:
        """Return the result as a table."""
        raise NotImplementedError  # each result has its own columns

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return self.table().html()
