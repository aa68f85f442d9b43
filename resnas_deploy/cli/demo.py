"""`resnas demo`: a trained network and pictures, to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, say


def demo(
    out: Annotated[Path, typer.Option(help="The folder to write.", metavar="FOLDER")] = Path("demo"),
    as_json: Json = False,
) -> None:
    """Write the trained network that comes with the package, and ten pictures to try it with, to a folder (3.4 MB).

    It knows ten kinds of clothes. Where the same files are there already, they stay.

    Examples:
    $ resnas demo
    $ resnas demo --out clothes-demo
    """
    found = resnas.demo(out)
    if as_json:
        print_json(found.to_json())
        return
    say(f"{found.checkpoint}: a network trained on Fashion-MNIST, and {len(found.pictures)} pictures in {out}/pictures")
    say(f"next: resnas export --checkpoint {found.checkpoint} --out clothes")
    say(f"then: resnas predict clothes {next(path for path in found.pictures if path.stem == 'bag')}")
