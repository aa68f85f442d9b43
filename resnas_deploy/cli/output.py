"""What commands print: tables and JSON on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.table import Table as RichTable
from rich.text import Text

from resnas_deploy.api.html import Table
from resnas_deploy.cli.progress import is_quiet as is_quiet
from resnas_deploy.cli.progress import progress as progress
from resnas_deploy.cli.said import complain as complain
from resnas_deploy.cli.said import is_first_process as is_first_process
from resnas_deploy.cli.said import one_line, printable, put
from resnas_deploy.errors import BadInput, ResnasError, StorageError
from resnas_deploy.processes.ending import last_words

_BETWEEN = 2  # columns of the terminal between those of a table
_LEAST_TEXT = 12  # columns of the terminal in which a text can be read
UNBROKEN = 1000  # columns of a table for a program or a file, whose lines must not be broken


def json_text(document: object) -> str:
    """Return the text of a JSON document, ASCII alone: any terminal, file and program can take it."""
    return json.dumps(document, indent=1)


def print_json(document: object) -> None:
    """Print one JSON document on stdout."""
    put(json_text(document), sys.stdout)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> None:
    """Print a table on stdout. The first `text_columns` columns are aligned left, the others (numbers) right.

    On a terminal that is too narrow for that, a line for each cell.
    """
    console = Console(markup=False, highlight=False)
    if not sys.stdout.isatty():  # whatever FORCE_COLOR says, which makes it a terminal to rich
        console.width = UNBROKEN
    elif console.is_dumb_terminal:  # for which rich does not ask how wide it is
        console.size = ConsoleDimensions(*shutil.get_terminal_size())
    rows = [list(map(printable, row)) for row in rows]
    # Not the table's own title, which is broken at the table's width.
    console.print(Text(printable(title), style="bold"))
    for heads in (columns, [column.replace(" ", "\n") for column in columns]):
        if _least_width(heads, rows, text_columns) <= console.width:
            console.print(_table(heads, rows, text_columns))
            return
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            console.print(Text(f"{column}: {cell}" if column else cell), soft_wrap=True)
        console.print()


def show_table(table: Table) -> None:
    """Print a result's table."""
    print_table(table.title, table.columns, table.rows, text_columns=table.text_columns)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> RichTable:
    table = RichTable(header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        is_text = number < text_columns
        table.add_column(column, justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text)
    for row in rows:
        table.add_row(*row)
    return table


def _least_width(columns: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> int:
    """Return the columns that a table needs: numbers are not broken, texts may be, but not at every letter."""
    widths = [
        max(cell_len(line) for cell in cells for line in cell.split("\n")) for cells in zip(columns, *rows, strict=True)
    ]
    texts = (min(width, _LEAST_TEXT) for width in widths[:text_columns])
    return sum(texts) + sum(widths[text_columns:]) + _BETWEEN * (len(widths) - 1)


def say(text: str) -> None:
    """Print a line on stdout."""
    put(printable(text), sys.stdout)


def save_results(*files: tuple[Path | None, Callable[[Path], object]], announce: bool) -> None:
    """Write the files that were asked for, each with its writer, and with `announce` say which were.

    All are tried, and then the first error raised.
    """
    errors: list[ResnasError] = []
    for path, write in files:
        try:
            if path:
                write(path)
        except (BadInput, StorageError) as error:
            errors.append(error)
        else:
            if path and announce:
                say(f"written: {path}")
    for later in errors[1:]:
        complain(str(later))
    if errors:
        raise errors[0]


def resumable(out: Path) -> last_words:
    """Say, where a signal ends the block, how to go on with what is in the folder `out`."""
    return last_words(one_line(f"note: {out} keeps what was saved; the same command with --resume goes on from there"))


class _Notes(logging.Handler):
    """Says what the library logs, once, and of several processes of one run only in the first."""

    def __init__(self) -> None:
        super().__init__()
        self._said = set[str]()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if is_first_process() and text not in self._said:
            self._said.add(text)
            complain(f"note: {text}")


@contextmanager
def notes() -> Iterator[None]:
    """Say on stderr what the library has to note meanwhile, each note once."""
    logger, handler = logging.getLogger("resnas_deploy"), _Notes()
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
