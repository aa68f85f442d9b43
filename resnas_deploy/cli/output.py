"""What commands print: tables and JSON on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from resnas_deploy.api.html import Table
from resnas_deploy.cli.words import spoken
from resnas_deploy.errors import LONGEST, BadInput, ResnasError, StorageError, shortened
from resnas_deploy.processes.ending import last_words

_BETWEEN = 2  # columns of the terminal between those of a table
_LEAST_TEXT = 12  # columns of the terminal in which a text can be read
UNBROKEN = 1000  # columns of a table for a program or a file, whose lines must not be broken


def json_text(document: object) -> str:
    """Return the text of a JSON document, ASCII alone: any terminal, file and program can take it."""
    return json.dumps(document, indent=1)


def print_json(document: object) -> None:
    """Print one JSON document on stdout."""
    typer.echo(json_text(document))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> None:
    """Print a table on stdout. The first `text_columns` columns are aligned left, the others (numbers) right.

    On a terminal that is too narrow for that, a line for each cell.
    """
    console = Console(markup=False, highlight=False)
    if not sys.stdout.isatty():  # whatever FORCE_COLOR says, which makes it a terminal to rich
        console.width = UNBROKEN
    rows = [list(map(_printable, row)) for row in rows]
    # Not the table's own title, which is broken at the table's width.
    console.print(Text(_printable(title), style="bold"))
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
    typer.echo(_printable(text))


def _printable(text: str) -> str:
    """Return a text with codes for what clears a terminal or cannot be written, as text from files may hold."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def complain(text: str) -> None:
    """Print one line on stderr, whatever the text is made of: it may hold a file's name, with any characters."""
    with suppress(OSError):  # it may be closed, full, or without a reader: the exit code tells the rest
        typer.echo(f"resnas: {_line(text)}", err=True)


def _line(text: str) -> str:
    line = " ".join(spoken(shortened(text, 10 * LONGEST)).split())
    return shortened(_printable(line))


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
    return last_words(_line(f"note: {out} keeps what was saved; the same command with --resume goes on from there"))


def is_first_process() -> bool:
    """Return whether this process speaks, of those that torchrun has numbered."""
    return not os.environ.get("RANK", "").strip(" 0")


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


@contextmanager
def progress(*, spinner: bool = True) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows what is being done on a terminal's stderr, and nothing elsewhere.

    Beside what is timed there is no spinner, whose thread takes time of its own, but a line that stands still.
    """
    console = Console(stderr=True, markup=False, highlight=False)
    if not sys.stderr.isatty() or console.is_dumb_terminal:  # whatever FORCE_COLOR says
        yield lambda _: None
        return
    if not spinner:
        with Live(console=console, auto_refresh=False, transient=True) as line:
            yield lambda text: line.update(Text(f"{text} .."), refresh=True)
        return
    with console.status("starting") as status:
        yield lambda text: status.update(f"{text} ..")
