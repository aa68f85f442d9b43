"""`resnas history`: what the gate has kept, commit by commit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.measuring import show_notes
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, save_results, show_table
from resnas_deploy.files.outputs import check_apart, check_new_file


def history(
    file: Annotated[Path, typer.Argument(help="What resnas gate --history has written.", show_default=False)],
    html: Annotated[
        Path | None, typer.Option(help="Draw it into this page.", metavar="FILE.html", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace a page that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Show how each case of a gate has gone, run by run: its time over the baseline's, and where it became slower.

    The page has a chart for each case, with intervals, commits and machines. Files of several machines may be put one
    after another.

    Examples:
    $ resnas history history.jsonl
    $ resnas history history.jsonl --html history.html
    $ resnas history history.jsonl --json
    """
    check_apart(file=file, html=html)
    if html:
        check_new_file(html, replace=force, field="html")
    found = resnas.history(file)
    if as_json:
        print_json(found.to_json())
    else:
        show_table(found.table())
    show_notes(found.notes())
    save_results((html, lambda path: found.save_page(path, force=force)), announce=not as_json)
