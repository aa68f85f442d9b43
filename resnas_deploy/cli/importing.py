"""`resnas import`: checkpoints of the reference's format to ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, progress, say


def import_(
    checkpoint: Annotated[Path, typer.Argument(help="A .pth.tar file of the reference release.", show_default=False)],
    network_def: Annotated[
        str,
        typer.Option(help="The network's definition: a file, or the tuple itself.", metavar="FILE|TEXT"),
    ],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.", metavar="FILE")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.", metavar="")] = False,
    as_json: Json = False,
) -> None:
    """Convert a checkpoint of the reference release to a safetensors checkpoint. Nothing in the pickle is run.

    The averaged weights (model_ema) are taken where the file has them. The image size follows from the weights.

    Example:
    $ resnas import found.pth.tar --network-def found.txt --out found.safetensors
    """
    with progress() as show:
        imported = resnas.import_checkpoint(checkpoint, network_def=network_def, out=out, force=force, progress=show)
    if as_json:
        print_json(imported.to_json())
        return
    arch, weights = imported.checkpoint.arch, imported.checkpoint.nbytes / 1e6
    say(f"{out}: {arch.image_size} pixels, {arch.classes} classes, {weights:.1f} MB of weights")
    say(f"next: resnas export --checkpoint {out}")
