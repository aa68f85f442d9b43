"""`resnas space`: the search spaces of the package, and files of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.latency_options import StoreOption, packaged_names
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import complain, print_json, say, show_table
from resnas_deploy.cli.space_evolve import evolve
from resnas_deploy.cli.space_shape import shape

space = typer.Typer(
    name="space",
    help="Search spaces: which subnets a supernet holds.\n\nStart with: resnas space list",
    no_args_is_help=True,
)


@space.command(name="list")
def list_(*, store: StoreOption = None, as_json: Json = False) -> None:
    """List the search spaces of the package: their subnets, and what these cost.

    Example:
    $ resnas space list
    """
    found = resnas.space.list(store=store)
    if as_json:
        print_json(found.to_json())
    else:
        show_table(found.table())


@space.command()
def show(
    space: Annotated[
        str,
        typer.Argument(
            help="tiny, small, demo, a TOML file, or a supernet.",
            metavar="NAME|FILE",
            show_default=False,
            autocompletion=packaged_names,
        ),
    ],
    toml: Annotated[
        bool, typer.Option("--toml", metavar="", help="Print it as a file to begin your own with, and nothing else.")
    ] = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Show a search space: what it chooses from, its number of subnets, and what they cost.

    Examples:
    $ resnas space show small
    $ resnas space show small --toml > mine.toml
    """
    found = resnas.space.show(space, store=store)
    if as_json:
        print_json(found.to_json())
    elif toml:
        say(found.to_toml().removesuffix("\n"))
    else:
        show_table(found.table())
        show_table(found.choices())
        _note(found.notes)


@space.command()
def check(
    space: Annotated[Path, typer.Argument(help="A TOML file.", metavar="FILE", show_default=False)],
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Read a search space strictly: say in which line something is wrong, and note what is odd.

    Example:
    $ resnas space check mine.toml
    """
    found = resnas.space.check(space, store=store)
    if as_json:
        print_json(found.to_json())
        return
    say(f"{space}: the space {found.space.name}, {found.counted}")
    _note(found.notes)
    say(f"next: resnas train supernet --space {space} --data FOLDER --out run")
    say(f"  or: resnas import CKPT.pth.tar --space {space} --out supernet.safetensors")


def _note(notes: tuple[str, ...]) -> None:
    for text in notes:
        complain(f"note: {text}")


space.command()(shape)
space.command()(evolve)
