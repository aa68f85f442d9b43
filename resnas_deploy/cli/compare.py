"""`resnas compare`: whether one artifact, or one runtime, is faster than another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.measuring import Batches, EffortOptions, Runners, batch_sizes, show_notes
from resnas_deploy.cli.option_groups import with_groups
from resnas_deploy.cli.options import Json, Threads
from resnas_deploy.cli.output import print_json, progress, say
from resnas_deploy.processes import ending


@with_groups
def compare(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="An artifact's folder, an engine in one, or a bare ONNX file.", show_default=False
        ),
    ],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one, or the same.", show_default=False)],
    runner: Runners = None,
    batch: Batches = "1",
    *,
    effort: EffortOptions,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Measure two artifacts interleaved and say whether B is faster than A, slower, or whether the runs cannot tell.

    With two --runner the first runs A and the second runs B. The interval is of 95%, by the bootstrap over openings of
    the runtimes.

    Examples:
    $ resnas compare small-fp32 small-bf16 --runner openvino --batch 1,16
    $ resnas compare small-fp32 small-fp32 --runner ort-cpu --runner openvino
    $ resnas compare mine.onnx small-fp32 --batch 1,8
    """
    with progress(spinner=False) as show:
        show("checking the files")
        found = resnas.compare(
            first,
            second,
            runners=runner or (),
            batches=batch_sizes(batch),
            **effort.arguments(),
            threads=threads,
            progress=show,
        )
    if not found.measured.reference.samples_s:
        raise typer.Exit(ending.INTERRUPTED)
    if as_json:
        print_json(found.to_json())
    else:
        for line in str(found).splitlines():
            say(line)
        show_notes(found.measured.notes())
    if found.interrupted:
        raise typer.Exit(ending.INTERRUPTED)
