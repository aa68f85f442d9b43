"""`resnas gpu-report`: a GPU measured, whatever is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.measuring import show_notes
from resnas_deploy.cli.options import DEVICES, Json, complete, finite
from resnas_deploy.cli.output import print_json, progress, say, show_table
from resnas_deploy.processes import ending

_MOST_MINUTES = 10_000


def gpu_report(
    out: Annotated[
        Path,
        typer.Option(
            help="The folder of the report: a new one, or one that is to go on.", metavar="FOLDER", show_default=False
        ),
    ],
    minutes: Annotated[
        float,
        typer.Option(
            help="How long it may take; 0 writes the report of what is there.",
            metavar="N",
            min=0,
            max=_MOST_MINUTES,
            callback=finite,
        ),
    ] = 8,
    device: Annotated[
        str,
        typer.Option(
            help="cuda or cuda:N; cpu rehearses it at tiny sizes, and no figure of that means anything.",
            metavar="DEVICE",
            autocompletion=complete(DEVICES),
        ),
    ] = "cuda:0",
    tests: Annotated[
        Path | None,
        typer.Option(help="A checkout whose tests for GPUs are run too.", metavar="CHECKOUT", show_default=False),
    ] = None,
    step: Annotated[
        list[str] | None,
        typer.Option(
            help="Run this step alone, again if it has ended: a name, or a pattern such as 'small-fp16-*'; more than "
            "once for several.",
            metavar="NAME",
            show_default="all",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a GPU with whatever is installed, in steps ordered by worth, each in a process of its own.

    A crash, a hang or a lack of memory costs one step. Results are written as they come: the same command goes on where
    one was stopped. In the end FOLDER has report.json and report.html, and the tables are printed. The exit code is 0
    where everything was run that could be; what failed is in a table.

    Examples:
    $ resnas gpu-report --out gpu
    $ resnas gpu-report --out gpu --minutes 60 --tests .
    $ resnas gpu-report --out gpu --step reduction-kernel --step 'small-fp16-*'
    $ resnas gpu-report --out rehearsal --device cpu --minutes 2
    """
    with progress(spinner=False) as show:
        report = resnas.gpu_report(out, minutes=minutes, device=device, tests=tests, steps=step or (), progress=show)
    if as_json:
        print_json(report.to_json())
    else:
        for table in report.tables():
            show_table(table)
        show_notes(report.notes())
        say(f"written: {report.page}")
    if report.survey.interrupted:
        raise typer.Exit(ending.INTERRUPTED)
