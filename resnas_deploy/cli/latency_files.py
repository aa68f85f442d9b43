"""`resnas latency machines`, `pack` and `unpack`: profiles of other machines, and how they come here."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.latency_options import StoreOption
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, say, show_table
from resnas_deploy.cli.words import spoken


def machines(*, store: StoreOption = None, as_json: Json = False) -> None:
    """List what was profiled, here or elsewhere: machine, setting, space, and the number of networks.

    The name of a machine, or as much of its beginning as no other one has, is what resnas search --latency-of takes.

    Examples:
    $ resnas latency machines
    $ resnas latency machines --store latency.sqlite --json
    """
    found = resnas.latency.machines(store=store)
    if as_json:
        print_json(found.to_json())
    elif found.profiles:
        show_table(found.table())
    else:
        say(f"{found.store} has no profile yet; {spoken('`latency.profile()` measures this machine')}")


def pack(
    file: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    *,
    machine: Annotated[
        str,
        typer.Option(
            help="Only what was measured on this one; the beginning of its name is enough.",
            metavar="NAME",
            show_default="all of the store",
        ),
    ] = "",
    space: Annotated[
        str, typer.Option(help="Only the spaces of this name.", metavar="NAME", show_default="all of the store")
    ] = "",
    store: StoreOption = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace a file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write profiles into one file, to be carried to the machine that searches.

    Examples:
    $ resnas latency pack device.profile.json
    $ resnas latency pack small.profile.json --space small --machine intel
    """
    found = resnas.latency.pack(file, machine=machine, space=space, store=store, force=force)
    if as_json:
        print_json(found.to_json())
        return
    show_table(found.table())
    say(f"written: {file}")
    say(f"next, where you search: resnas latency unpack {file.name}")


def unpack(
    file: Annotated[Path, typer.Argument(help="A file that resnas latency pack wrote.", show_default=False)],
    *,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Take the profiles of a file into the store, all of them or none. What is there already stays as it was.

    Examples:
    $ resnas latency unpack device.profile.json
    """
    found = resnas.latency.unpack(file, store=store)
    if as_json:
        print_json(found.to_json())
        return
    show_table(found.table())
    say(f"{found.added} networks are new to {found.store}")
    machine = found.profiles[0].setting.machine
    at = f" --store {shlex.quote(str(store))}" if store else ""
    say(f"next: resnas search --supernet FILE --latency-of {machine} --max-latency TIME --data FOLDER --out found{at}")
