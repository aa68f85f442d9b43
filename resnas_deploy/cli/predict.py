"""`resnas predict`: the top classes of image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.options import (
    MAX_COUNT,
    DeviceOption,
    EngineOption,
    Json,
    RunnableArgument,
    RunnerOption,
    Tf32Option,
    Threads,
)
from resnas_deploy.cli.output import complain, print_json, progress, say, show_table
from resnas_deploy.errors import BadInput


def predict(
    artifact: RunnableArgument,
    images: Annotated[
        list[Path],
        typer.Argument(help="Image files (JPEG, PNG, WebP, GIF, TIFF, BMP), or folders of them.", show_default=False),
    ],
    top: Annotated[int, typer.Option(help="Classes to show for each image.", metavar="N", min=1, max=MAX_COUNT)] = 5,
    runner: RunnerOption = "",
    engine: EngineOption = "",
    device: DeviceOption = "",
    tf32: Tf32Option = False,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Classify images, and those in folders. What cannot be read is named on stderr, and the exit is 2 in the end.

    Examples:
    $ resnas predict small-fp32 images/*.jpg
    $ resnas predict small-fp16 images --engine 3514cb55
    """
    with progress() as show:
        show("checking the files")
        found = resnas.predict(
            artifact,
            images,
            top=top,
            runner=runner,
            engine=engine,
            device=device,
            tf32=tf32,
            threads=threads,
            progress=show,
        )
    if as_json:
        print_json(found.to_json())
    elif found.images:
        if not found.trained:
            say("The weights are untrained: these classes mean nothing.")
        show_table(found.table())
    for message in found.errors:
        complain(message)
    if found.errors:
        raise typer.Exit(BadInput.exit_code)
