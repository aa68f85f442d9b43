"""`resnas archs`: the published networks."""

from __future__ import annotations

from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, show_table


def archs(
    name: Annotated[str, typer.Argument(help="Print this one as JSON, for resnas export --arch FILE.")] = "",
    as_json: Json = False,
) -> None:
    """List the published networks with their cost, or print one to start your own from.

    Examples:
    $ resnas archs
    $ resnas archs small > mine.json && resnas export --arch mine.json
    """
    if name:
        print_json(resnas.read_arch(name).to_json())
    elif as_json:
        print_json(resnas.archs().to_json())
    else:
        show_table(resnas.archs().table())
