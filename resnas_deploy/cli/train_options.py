"""What the commands of `resnas train` and `resnas search` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnas_deploy.cli.options import DEVICES, MAX_SEED, complete
from resnas_deploy.errors import NotAvailable

RECIPE_NAMES = ("tiny", "small", "demo")

DataOption = Annotated[
    str,
    typer.Option(
        help="demo, the small data set that is built in, or a folder with train/ and val/, each of class folders or of "
        "WebDataset shards.",
        metavar="demo|FOLDER",
        show_default=False,
        autocompletion=complete(("demo",)),
    ),
]
RecipeOption = Annotated[
    str,
    typer.Option(
        help="demo, tiny, small, or a TOML file.",
        metavar="NAME|FILE",
        show_default="demo for --data demo; the space's; small",
        autocompletion=complete(RECIPE_NAMES),
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="A key of the recipe with another value; give it again for more.", metavar="KEY=VALUE"),
]
CheckpointOption = Annotated[
    Path, typer.Option(help="A checkpoint (.safetensors).", metavar="FILE", show_default=False)
]
TorchDevice = Annotated[
    str,
    typer.Option(
        help="cpu, cuda or cuda:N.",
        metavar="DEVICE",
        show_default="cuda where there is one",
        autocompletion=complete(DEVICES),
    ),
]
Seed = Annotated[int, typer.Option(help="Everything random follows from it.", metavar="N", min=0, max=MAX_SEED)]
Resume = Annotated[
    bool, typer.Option("--resume", metavar="", help="Go on with a run that was stopped, or start it where none was.")
]
Workers = Annotated[
    int, typer.Option(help="Processes that decode images; 0: this one does.", metavar="N", min=0, max=256)
]
Skip = Annotated[
    bool,
    typer.Option("--skip-unreadable", metavar="", help="Go on without images that cannot be read, and name them."),
]


def check_torch() -> None:
    """Raise `NotAvailable` without PyTorch."""
    import importlib.util

    if importlib.util.find_spec("torch") is None:
        raise NotAvailable("training needs the package torch", "pip install torch")
