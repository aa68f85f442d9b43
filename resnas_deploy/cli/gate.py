"""`resnas gate`: whether anything has become slower than its baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.measuring import EffortOptions, show_notes
from resnas_deploy.cli.option_groups import with_groups
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, progress, show_table
from resnas_deploy.errors import BadInput
from resnas_deploy.processes import ending


@with_groups
def gate(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Artifact folders, engines in them, or bare ONNX files.", show_default="those that the baseline names"
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="What resnas bench --out wrote, or a folder of such files, one for each machine.",
            metavar="FILE|FOLDER",
            show_default=False,
        ),
    ] = None,
    *,
    effort: EffortOptions,
    accept_different: Annotated[
        bool,
        typer.Option(
            "--accept-different", metavar="", help="Compare with a baseline of another machine or other versions."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure again what a baseline holds, and end with exit code 4 where something has become slower.

    Both are taken relative to a reference workload that is timed in the same rounds, since a shared machine may be
    twice as slow minutes later. What looks slower is measured again before it counts. To make a baseline, or a new one:
    resnas bench ARTIFACT.. --runs 120 --openings 12 --out FILE

    Examples:
    $ resnas gate --baseline baseline.json
    $ resnas gate build/small-fp32 --baseline baselines/
    """
    if baseline is None:
        raise BadInput("there must be a --baseline, found none; make one by: resnas bench ARTIFACT.. --out FILE")
    with progress(spinner=False) as show:
        show("reading the baseline")
        found = resnas.gate(
            baseline,
            artifacts or (),
            **effort.arguments(),
            accept_different=accept_different,
            progress=show,
        )
    if as_json:
        print_json(found.to_json())
    else:
        show_table(found.table())
    show_notes(f"different: {text}" for text in found.differences)
    show_notes(found.notes)
    if found.interrupted:
        raise typer.Exit(ending.INTERRUPTED)
    found.check()
