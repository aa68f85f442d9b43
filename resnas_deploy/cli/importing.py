"""`resnas import`: checkpoints of the reference's format to ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnas_deploy.cli.options import Json, read_definition
from resnas_deploy.cli.output import print_json, progress, say
from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.files.outputs import check_file


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
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise NotAvailable("reading a PyTorch file needs the package torch", "pip install torch")
    if out.suffix != ".safetensors":
        raise BadInput(f"--out must end in .safetensors, by which resnas knows its checkpoints, found {out}")
    check_file(out, replace=force)
    definition = read_definition(network_def)
    with progress() as tell:
        tell(f"reading {checkpoint}")
        from resnas_deploy.weights.checkpoint import save
        from resnas_deploy.weights.vit_search.importer import import_checkpoint

        imported = import_checkpoint(checkpoint, definition)
        tell(f"writing {out}")
        save(imported, out, replace=force)
    arch = imported.arch
    if as_json:
        print_json({"out": str(out), "arch": arch.to_json(), "provenance": imported.provenance.to_json()})
        return
    say(f"{out}: {arch.image_size} pixels, {arch.classes} classes, {imported.nbytes / 1e6:.1f} MB of weights")
    say(f"next: resnas export --checkpoint {out}")
