"""`resnas gate`: whether anything has become slower than its baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.gate_results import ResultOptions, Results
from resnas_deploy.cli.measuring import EffortOptions, batch_sizes, show_notes
from resnas_deploy.cli.option_groups import with_groups
from resnas_deploy.cli.options import RUNNER_NAMES, Json, complete, finite
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
    runner: Annotated[
        list[str] | None,
        typer.Option(
            "--runner",
            help="Of the baseline, only what ran on this; give it again for more.",
            metavar="NAME",
            show_default="all",
            autocompletion=complete(RUNNER_NAMES),
        ),
    ] = None,
    batch: Annotated[
        str,
        typer.Option(
            "--batch",
            help="Of the baseline, only these sizes, separated by commas.",
            metavar="N,N,..",
            show_default="all",
        ),
    ] = "",
    *,
    effort: EffortOptions,
    threshold: Annotated[
        float,
        typer.Option(
            help="What is slower by more than this counts, if its interval excludes none.",
            metavar="PERCENT",
            min=0,
            max=1000,
            callback=finite,
        ),
    ] = 3.0,
    accept_different: Annotated[
        bool,
        typer.Option(
            "--accept-different", metavar="", help="Compare with a baseline of another machine or other versions."
        ),
    ] = False,
    results: ResultOptions,
    as_json: Json = False,
) -> None:
    """Measure again what a baseline holds, and end with exit code 4 where something has become slower.

    Both are taken relative to a reference workload that is timed in the same rounds, since a shared machine may be
    twice as slow minutes later. What looks slower is measured again before it counts. To make a baseline, or a new one:
    resnas bench ARTIFACT.. --runs 120 --openings 12 --out FILE

    Examples:
    $ resnas gate --baseline baseline.json
    $ resnas gate build/small-fp32 --baseline baselines/
    $ resnas gate --baseline baselines/ --html gate.html --history h.jsonl
    """
    if baseline is None:
        raise BadInput("there must be a --baseline, found none; make one by: resnas bench ARTIFACT.. --out FILE")
    kept = Results(results)
    kept.check(baseline)
    with progress(spinner=False) as show:
        show("reading the baseline")
        found = resnas.gate(
            baseline,
            artifacts or (),
            runners=runner or (),
            batches=batch_sizes(batch),
            **effort.arguments(),
            threshold=threshold,
            accept_different=accept_different,
            progress=show,
        )
    if as_json:
        print_json(found.to_json())
    else:
        show_table(found.table())
    show_notes(f"different: {text}" for text in found.differences)
    show_notes(found.notes)
    kept.save(found, announce=not as_json)
    if found.interrupted:
        raise typer.Exit(ending.INTERRUPTED)
    found.check()
