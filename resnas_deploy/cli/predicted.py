"""Where predictions go as they are made: tables for people, or lines for programs, on stdout or in a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from resnas_deploy.api.predict_forms import CSV, CSV_HEAD, DOCUMENT, Prediction, csv_lines, json_line
from resnas_deploy.cli.output import json_text, say, show_table
from resnas_deploy.files.outputs import output_file

if TYPE_CHECKING:
    from resnas_deploy.api.predict import Predictions
    from resnas_deploy.api.predicting import Predicting

TABLE = "table"
_IMAGES = 100  # of a table: the columns of the next one are as wide as it needs


class Output:
    """Takes predictions one by one, and writes each as its form has it: at once, or when enough of them are there."""

    def __init__(self, form: str, found: Predicting, write: Callable[[str], object]) -> None:
        self._form, self._found, self._write = form, found, write
        self._waiting: list[Prediction] = []
        self._shown = self.images = 0
        self.errors: list[str] = []

    @property
    def done(self) -> int:
        """How many images were classified, or could not be read."""
        return self.images + len(self.errors)

    def take(self, prediction: Prediction) -> None:
        """Write a prediction, or keep it for the table or the document that it is a part of."""
        if self._form == CSV and not prediction.error:
            self._write(("" if self.images else CSV_HEAD) + csv_lines(prediction))
        elif self._form not in (CSV, DOCUMENT, TABLE):
            self._write(json_line(prediction))
        elif not prediction.error and self._form != CSV:
            self._waiting.append(prediction)
        if prediction.error:  # counted once it is written, for an interrupt may come between
            self.errors.append(prediction.error)
        else:
            self.images += 1
        if self._form == TABLE and len(self._waiting) == _IMAGES:
            self._show()

    def end(self) -> None:
        """Write what was kept."""
        if self._form == DOCUMENT:
            self._write(json_text(self._result(tuple(self.errors)).to_json()) + "\n")
        elif self._form == CSV and not self.images:
            self._write(CSV_HEAD)
        elif self._waiting:
            self._show()

    def give_up(self) -> None:
        """Show what was kept for a table, which is not full; a document is whole or is not."""
        if self._form == TABLE and self._waiting:
            self._show()

    def _show(self) -> None:
        """Show a table, which replaces nothing: those before it stay as they are."""
        if not self._shown and not self._found.trained:
            say("The weights are untrained: these classes mean nothing.")
        show_table(self._result().table())
        self._shown += len(self._waiting)
        self._waiting.clear()

    def _result(self, errors: tuple[str, ...] = ()) -> Predictions:
        from resnas_deploy.api.predict import Predictions  # imports numpy

        found = self._found
        return Predictions(found.label, found.trained, found.runner, tuple(self._waiting), errors)


@contextmanager
def writing(out: Path | None, *, force: bool) -> Iterator[Callable[[str], object]]:
    """Yield what writes a text: on stdout at once, or to a file that is there when all is."""
    if out is None:
        yield _print
        return
    # A name that is no text is written as the bytes that it is.
    with (
        output_file(out, replace=force) as partial,
        partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        yield file.write


def _print(text: str) -> None:
    """Write whole lines, so that whatever ends this leaves whole ones. On a terminal nothing in a name can clear it."""
    if sys.stdout.isatty():
        say(text.removesuffix("\n"))
    else:
        sys.stdout.write(text)
        sys.stdout.flush()
