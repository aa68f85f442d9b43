"""What commands print: tables and JSON on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from resnas_deploy.errors import LONGEST, shortened

UNBROKEN = 1000  # columns of a table for a program or a file, whose lines must not be broken


def to_json(document: object) -> str:
    """The text of a JSON document, ASCII alone: any terminal, file and program can take it."""
    return json.dumps(document, indent=1)


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    typer.echo(to_json(document))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> None:
    """A table on stdout. The first `text_columns` columns are aligned left, the others (numbers) right."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < text_columns else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(_printable, row))
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = UNBROKEN
    console.print(
        Text(_printable(title), style="bold")
    )  # not the table's own title, which is broken at the table's width
    console.print(table)


def say(text: str) -> None:
    """A line on stdout."""
    typer.echo(_printable(text))


def _printable(text: str) -> str:
    """What comes from files may hold what clears a terminal, or cannot be written at all."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def complain(text: str) -> None:
    """One line on stderr, whatever the text is made of: it may hold a file's name, with any characters."""
    line = " ".join(shortened(text, 10 * LONGEST).split())
    typer.echo(f"resnas: {shortened(_printable(line))}", err=True)


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Say on Ctrl-C how to go on with what is in the folder `out`."""
    try:
        yield
    except KeyboardInterrupt:
        complain(f"note: {out} keeps what was saved; the same command with --resume goes on from there")
        raise


@contextmanager
def progress(*, spinner: bool = True) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows what is being done on a terminal's stderr, and nothing elsewhere.

    Beside what is timed there is no spinner, whose thread takes time of its own, but a line that stands still.
    """
    console = Console(stderr=True, markup=False, highlight=False)
    if not console.is_terminal:
        yield lambda _: None
        return
    if not spinner:
        with Live(console=console, auto_refresh=False, transient=True) as line:
            yield lambda text: line.update(Text(f"{text} .."), refresh=True)
        return
    with console.status("starting") as status:
        yield lambda text: status.update(f"{text} ..")
