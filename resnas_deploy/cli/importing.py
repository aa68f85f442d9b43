"""`resnas import`: checkpoints of the reference's format to ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.arch.spec import MAX_SIDE
from resnas_deploy.cli.latency_options import packaged_names
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, progress, say


def import_(
    checkpoint: Annotated[Path, typer.Argument(help="A .pth.tar file of the reference release.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.", metavar="FILE")],
    network_def: Annotated[
        str,
        typer.Option(
            help="The network's definition: a file, or the tuple itself.",
            metavar="FILE|TEXT",
            show_default="with --space, its widest subnet",
        ),
    ] = "",
    space: Annotated[
        str,
        typer.Option(
            help="Of a supernet, to search it: tiny, small, demo, or a TOML file.",
            metavar="NAME|FILE",
            show_default=False,
            autocompletion=packaged_names,
        ),
    ] = "",
    classes: Annotated[
        Path | None,
        typer.Option(help="The names of its classes: a text file, one a line.", metavar="FILE", show_default=False),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="Pixels a side; position tables are resized.",
            metavar="N",
            min=1,
            max=MAX_SIDE,
            show_default="the weights' own",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.", metavar="")] = False,
    as_json: Json = False,
) -> None:
    """Convert a checkpoint of the reference release to a safetensors checkpoint. Nothing in the pickle is run.

    The averaged weights (model_ema) are taken where the file has them. The image size follows from the weights.

    With --space the file is a supernet that resnas search takes: its network follows from the space.

    Examples:
    $ resnas import found.pth.tar --network-def found.txt --out found.safetensors
    $ resnas import super.pth.tar --space small --out supernet.safetensors
    $ resnas import s.pth.tar --space x.toml --classes y.txt --out s.safetensors
    """
    with progress() as show:
        imported = resnas.import_checkpoint(
            checkpoint,
            out=out,
            network_def=network_def,
            space=space,
            classes=classes or "",
            image_size=image_size,
            force=force,
            progress=show,
        )
    if as_json:
        print_json(imported.to_json())
        return
    arch, weights = imported.checkpoint.arch, imported.checkpoint.nbytes / 1e6
    say(f"{out}: {arch.image_size} pixels, {arch.classes} classes, {weights:.1f} MB of weights")
    if (found := imported.checkpoint.space) is None:
        say(f"next: resnas export --checkpoint {out}")
        return
    from resnas_deploy.arch.space_size import counted

    say(f"a supernet of the space {found.name}, {counted(found)}")
    say(f"next: resnas search --supernet {out} --score-on IMAGES --max-macs 60% --out found")
