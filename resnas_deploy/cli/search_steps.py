"""`resnas search measure` and `resnas search finish`: the end of a search whose finalists another machine measures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.latency_options import NodeOption
from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import complain, print_json, progress, say, show_table

if TYPE_CHECKING:
    from resnas_deploy.api.found import SearchResult

_FoundFolder = Annotated[
    Path, typer.Argument(help="The folder that resnas search wrote, or a copy of it.", metavar="FOUND")
]


def measure(
    found: _FoundFolder,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Measure again what measured.json in the folder has.")
    ] = False,
    on: NodeOption = "",
    as_json: Json = False,
) -> None:
    """Measure the finalists of a search here, on the machine that the search was for.

    Nothing is needed here but the runner: no PyTorch, no supernet and no images. Finalists are measured some at a
    time, until one keeps the limits. Copy FOUND/measured.json back to where the search ran, and finish it there.

    Examples:
    $ resnas search measure found
    $ resnas search measure found --on ray:pi@10.0.0.1:6379
    """
    with progress(spinner=False) as tell:
        tell("opening the finalists")
        done = resnas.search.measure(found, force=force, on=on, progress=tell)
    for note in done.notes:
        complain(f"note: {note}")
    if as_json:
        print_json(done.to_json())
        return
    show_table(done.table())
    if not done.within_limit:
        complain("note: no finalist keeps the limits; resnas search finish tells by how much")
    say(f"written: {found}/measured.json")
    say(f"next, where the search ran: resnas search finish {found}")


def finish(
    found: _FoundFolder,
    measured: Annotated[
        Path | None,
        typer.Option(help="What was measured.", metavar="FILE", show_default="measured.json in the folder"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take in what another machine measured of a search's finalists, and choose the winner.

    Examples:
    $ resnas search finish found
    $ resnas search finish found --measured from-the-device.json
    """
    with progress(spinner=False) as tell:
        done = resnas.search.finish(found, measured=measured, progress=tell)
    if as_json:
        print_json(done.to_json())
    show_found(done, "DATA", quiet=as_json)


def show_found(found: SearchResult, data: object, *, quiet: bool) -> None:
    """Print what a search found, and what comes next. Raise `BadInput` where no finalist keeps the limits."""
    if not quiet:
        show_table(found.table())
        if checks := found.evaluated.checks:
            say(str(checks[-1]))
        if found.limits and found.measured:
            wanted = " and ".join(map(str, found.limits))
            say(f"{len(found.keeping)} of the {len(found.measured)} finalists that were measured keep {wanted}")
    for error in filter(None, (found.unsaved, found.missed())):
        raise error
    if quiet:
        return
    out = found.out
    if not found.measured:
        say(f"written: {out}/found.json, front.png, report.html, and {len(found.finalists)} networks in finalists/")
        say(f"next, with a copy of {out} on {found.machine}: resnas search measure {out}")
        say(f"then here, with measured.json from there:  resnas search finish {out}")
        return
    say(f"written: {out}/arch.json, checkpoint.safetensors, front.png, report.html, measured.json, finalists/")
    rest = f"--data {data} --out trained"
    say(f"next: resnas train subnet --arch {out}/arch.json {rest}  # from scratch, as the paper does")
    say(f"or:   resnas train subnet --checkpoint {out}/checkpoint.safetensors {rest}  # its weights inherited")
