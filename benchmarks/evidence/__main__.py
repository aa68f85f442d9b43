"""The command of the campaign: `make evidence`, or in benchmarks/: ../.venv/bin/python -m evidence."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from tabulated import ROOT

from evidence import campaign, pairs, parts
from evidence.state import FOLDER, State, record
from resnas_deploy.errors import ResnasError
from resnas_deploy.runners.base import usable_cores

STATE = ROOT / "build" / "evidence" / "state.sqlite"
app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)


def seconds(text: str) -> float:
    """Read a time such as 90s, 150m or 2h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not found:
        raise typer.BadParameter(f"a time must be a number and s, m or h, such as 150m, found {text!r}")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]]


def named(names: list[str] | None) -> list[str]:
    """Return the parts to take: all where none is named."""
    if wrong := [name for name in names or () if name not in parts.PARTS]:
        raise typer.BadParameter(f"a part must be one of {', '.join(parts.PARTS)}, found {wrong[0]!r}")
    return list(names or parts.PARTS)


Names = Annotated[list[str] | None, typer.Argument(metavar="[PART]..", help="Parts to take; all in their order.")]
Where = Annotated[Path, typer.Option(help="The SQLite file that holds what is done.")]
Results = Annotated[Path | None, typer.Option(help="The folder of result files; the repository's own by default.")]


@app.command()
def run(
    names: Names = None,
    budget: Annotated[str, typer.Option(help="Begin nothing that would take longer: 90s, 150m, 2h.")] = "150m",
    workers: Annotated[str, typer.Option(help="ray or ray:ADDRESS; this machine's cores by default.")] = "",
    device: Annotated[str, typer.Option(help="What to train on: cpu or cuda.")] = campaign.CPU,
    at_once: Annotated[int, typer.Option(help="Jobs beside each other; 0: as many as there are cores.")] = 0,
    again: Annotated[bool, typer.Option("--again", help="Forget what is done of these parts first.")] = False,
    state: Where = STATE,
    results: Results = None,
) -> None:
    """Do what is not done yet, and write the result files. Interrupted, it loses only what is running."""
    chosen, until, folder = named(names), time.monotonic() + seconds(budget), folder_of(results)
    failed = 0
    with State(state) as kept, campaign.workers(workers, at_once or usable_cores(), device) as at:
        if again:
            kept.forget(chosen, folder)
        kept.take(parts.PARTS, folder)
        try:
            for part in chosen:
                jobs = parts.planned(kept.done(), pairs.here())[0][part]
                failed += campaign.carry_out(jobs, kept, until - time.monotonic(), at, typer.echo)
        finally:
            told(kept, folder, write=True)
    if failed:
        sys.exit(f"error: {failed} jobs failed, and are tried again by the next call")


@app.command()
def show(state: Where = STATE, results: Results = None) -> None:
    """Tell how much of each part is done."""
    folder = folder_of(results)
    with State(state) as kept:
        kept.take(parts.PARTS, folder)
        told(kept, folder, write=False)


def folder_of(results: Path | None) -> Path:
    """Return the folder of result files. Those of other garments than all of them stand apart: it is another task."""
    if results:
        return results
    if pairs.here() == pairs.ALL:
        return FOLDER
    typer.echo(
        f"{pairs.here()}, for Debian's dataset-fashion-mnist is not installed: another task, with its own results"
    )
    return ROOT / "build" / "evidence" / "packaged"


def told(kept: State, folder: Path, *, write: bool) -> None:
    """Print how much of each part is done, and write it to the result files."""
    jobs, done = parts.planned(kept.done(), pairs.here())
    for part, own in jobs.items():
        those = [one for one in done if one.part == part]
        if those and write:
            record(part, those, folder)
        factor = campaign.pace(own, those) if those else 1.0
        left = (sum(job.seconds for job in own) * factor - sum(one.seconds for one in those)) / 60
        about = f", about {max(0, left):.0f} minutes of a core left" if len(those) < len(own) else ""
        waits = "" if own else ", which waits for parts before it"
        typer.echo(f"{part}: {len(those)} of {len(own)}{about}{waits}")


def main() -> None:
    """Run the command; what a user can mend is one line."""
    try:
        app()
    except ResnasError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
