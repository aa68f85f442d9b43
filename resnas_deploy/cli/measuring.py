"""Options that the commands which measure share, and how their tables are shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.option_groups import OptionGroup
from resnas_deploy.cli.options import RUNNER_NAMES, DeviceOption, Tf32Option, complete
from resnas_deploy.cli.output import complain
from resnas_deploy.errors import BadInput, shown, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterable


MOST_NUMBERS = 100  # of an option that takes several

Runners = Annotated[
    list[str] | None,
    typer.Option(
        "--runner",
        help="A runtime; give it again for more.",
        metavar="NAME",
        show_default="the first that can run every precision",
        autocompletion=complete(RUNNER_NAMES),
    ),
]
Batches = Annotated[
    str,
    typer.Option(
        "--batch",
        help="Batch sizes, separated by commas.",
        metavar="N,N,..",
        show_default="those of 1,8,32 that every artifact takes",
    ),
]
Plot = Annotated[
    Path | None, typer.Option(help="Draw it into this file: .png, .svg or .html.", metavar="FILE", show_default=False)
]
Force = Annotated[
    bool, typer.Option("--force", metavar="", help="Replace the files of --out and --plot that are there.")
]


@dataclass(frozen=True)
class EffortOptions(OptionGroup):
    """How much is timed, and with what of this machine."""

    runs: Annotated[int, typer.Option(help="Timed runs of each configuration, over all openings.", metavar="N")] = 60
    openings: Annotated[
        int | None,
        typer.Option(
            help="Times that every runtime is opened anew.",
            metavar="N",
            show_default="6, or as many as --runs where that is fewer",
        ),
    ] = None
    device: DeviceOption = ""
    cuda_graph: Annotated[
        bool, typer.Option("--cuda-graph", metavar="", help="On a GPU: capture the network once and replay it.")
    ] = False
    tf32: Tf32Option = False
    engine_cache: Annotated[
        Path | None,
        typer.Option(
            help="With ort-tensorrt: keep engines and timings in this folder.", metavar="FOLDER", show_default="none"
        ),
    ] = None


def batch_sizes(text: str) -> tuple[int, ...]:
    """Read the value of --batch; none where it is empty."""
    return numbers(text, "--batch", "batch sizes such as 1,8,32") if text else ()


def numbers(text: str, option: str, what: str) -> tuple[int, ...]:
    """Read whole numbers above 0, separated by commas."""
    found = [whole_number(part.strip()) or 0 for part in text.split(",")]
    if 0 in found or len(found) > MOST_NUMBERS:
        raise BadInput(f"{option} must be {what}, found {shown(text)}")
    return tuple(dict.fromkeys(found))


def show_notes(notes: Iterable[str]) -> None:
    """Say on stderr what must be known with a result."""
    for text in notes:
        complain(f"note: {text}")
