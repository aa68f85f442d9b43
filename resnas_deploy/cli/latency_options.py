"""The options that `resnas latency` and `resnas search` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from resnas_deploy.arch.spec import MAX_SIDE
from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.cli.option_groups import OptionGroup
from resnas_deploy.cli.options import DeviceOption, RunnerOption, Threads, complete
from resnas_deploy.precision import PRECISIONS


def packaged_names(incomplete: str) -> list[str]:
    """Return the spaces of the package that a word may be completed to."""
    from resnas_deploy.weights.space_files import PACKAGED

    return [name for name in PACKAGED if name.startswith(incomplete)]


Space = Annotated[
    str,
    typer.Option(
        help="The search space: tiny, small (in which the paper's small and medium are), demo (of small images), a "
        "TOML file, or a supernet.",
        metavar="NAME|FILE",
        autocompletion=packaged_names,
    ),
]
Precision = Annotated[
    str, typer.Option(help="fp32, fp16, bf16, int8 or fp8.", metavar="NAME", autocompletion=complete(PRECISIONS))
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        help="Pixels a side of the networks' images.",
        metavar="N",
        min=1,
        max=MAX_SIDE,
        show_default="the space's own",
    ),
]
Batch = Annotated[int, typer.Option(help="The batch size.", metavar="N", min=1, max=MAX_BATCH)]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        help="The file that measurements are kept in.",
        metavar="FILE",
        show_default="latency.sqlite in the user's data folder",
    ),
]
NodeOption = Annotated[
    str,
    typer.Option(
        help="Measure on the node of a Ray cluster that has this custom resource.",
        metavar="ray:RESOURCE[@ADDRESS]",
        show_default="this machine",
    ),
]


@dataclass(frozen=True)
class SetupOptions(OptionGroup):
    """How networks are timed, and where what was measured is kept."""

    runner: RunnerOption = ""
    batch: Batch = 1
    precision: Precision = "fp32"
    threads: Threads = 0
    device: DeviceOption = ""
    store: StoreOption = None
