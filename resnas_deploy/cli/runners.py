"""`resnas runners`: the runtimes that are here, and how to get the others."""

from __future__ import annotations

import resnas_deploy as resnas
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, progress, show_table


def runners(as_json: Json = False) -> None:
    """List the runtimes: where each can be used here, and what is in the way of the others."""
    with progress() as show:
        show("looking for each runtime")
        found = resnas.available_runners()
    if as_json:
        print_json(found.to_json())
    else:
        show_table(found.table())
