"""`resnas refit`: another checkpoint's weights in an engine, without a build."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.build import say_engine
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, progress, say


def refit(
    engine: Annotated[Path, typer.Argument(help="An engine that was built with --refittable, in its artifact.")],
    checkpoint: Annotated[
        Path, typer.Option(help="Weights of the same architecture.", metavar="FILE", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The artifact to write.", metavar="FOLDER", show_default="the engine's, with -refit"),
    ] = None,
    device: Annotated[str, typer.Option(help="The GPU.", metavar="cuda:N", show_default="cuda:0")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace an artifact that is there.", metavar="")] = False,
    as_json: Json = False,
) -> None:
    """Put the weights of a checkpoint of the same architecture into an engine, without a build.

    The checkpoint becomes an artifact of its own, verified, and the engine goes there. Its kernels are those of before.

    Examples:
    $ resnas refit small-fp16/engines/ID.engine --checkpoint tuned.safetensors
    """
    with progress() as show:
        built = resnas.refit(engine, checkpoint=checkpoint, out=out, device=device, force=force, progress=show)
    if as_json:
        print_json(built.to_json())
        return
    say_engine(built)
    say("the proof of its layers is that of the engine before, whose kernels it has")
