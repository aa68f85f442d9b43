"""`resnas kernels`: how many kernels a compiler makes of a network, in each spelling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.build import CapabilityOption, TargetOption
from resnas_deploy.cli.options import ArchOption, Json, complete
from resnas_deploy.cli.output import print_json, progress, say, show_table
from resnas_deploy.precision import PRECISIONS


def kernels(
    arch: ArchOption = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights (.safetensors); only their architecture matters.", metavar="FILE", show_default="none"
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help=f"Of the graph: {', '.join(PRECISIONS)}.", metavar="NAME", autocompletion=complete(PRECISIONS)
        ),
    ] = "fp16",
    batch: Annotated[str, typer.Option(help="A range of batch sizes, or one size.", metavar="N:M|N")] = "1:64",
    target: TargetOption = "tensorrt-rtx",
    capability: CapabilityOption = "",
    as_json: Json = False,
) -> None:
    """Count the kernels of a network in every spelling of its graph. The fewest come first; no GPU is needed.

    Examples:
    $ resnas kernels --arch small
    $ resnas kernels --arch medium --precision bf16 --capability 12.0
    """
    with progress() as show:
        show("loading")
        found = resnas.kernels(
            arch or None,
            checkpoint=checkpoint,
            precision=precision,
            batch=batch,
            target=target,
            capability=capability,
            progress=show,
        )
    if as_json:
        print_json(found.to_json())
        return
    show_table(found.table())
    for count in found.counts:
        if count.problem:
            say(f"{count.spelling.name}: {count.problem}")
    say(f"fewest: {found.best}{'' if found.best == found.default else f' (resnas export --spelling {found.best})'}")
