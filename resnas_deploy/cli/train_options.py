"""The options that the commands of `resnas train` share, and some of them `resnas search`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from resnas_deploy.cli.option_groups import OptionGroup
from resnas_deploy.cli.options import DEVICES, MAX_COUNT, MAX_SEED, complete
from resnas_deploy.training.records.tracking import TRACKERS


def _recipes(incomplete: str) -> list[str]:
    from resnas_deploy.training.recipe import RECIPES

    return [name for name in RECIPES if name.startswith(incomplete)]


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
        help="demo, tiny, small, medium, or a TOML file.",
        metavar="NAME|FILE",
        show_default="demo for --data demo; that of the space or network; to finetune medium",
        autocompletion=_recipes,
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
HeldOutOption = Annotated[
    int | None,
    typer.Option(
        help="So many images of each class of that folder, drawn by the seed.",
        metavar="N",
        min=1,
        max=MAX_COUNT,
        show_default="all",
    ),
]
Seed = Annotated[int, typer.Option(help="Everything random follows from it.", metavar="N", min=0, max=MAX_SEED)]
Resume = Annotated[
    bool, typer.Option("--resume", metavar="", help="Go on with a run that was stopped, or start it where none was.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Processes that decode images; 0: this one does.",
        metavar="N",
        min=0,
        max=256,
        show_default="the cores at hand, shared out among the processes here",
    ),
]
Skip = Annotated[
    bool,
    typer.Option("--skip-unreadable", metavar="", help="Go on without images that cannot be read, and name them."),
]

Track = Annotated[
    list[str] | None,
    typer.Option(
        help="Who is told the figures beside metrics.jsonl, by their own clients: tensorboard, mlflow or wandb. "
        "Give it again for more.",
        metavar="NAME",
        autocompletion=complete(TRACKERS),
    ),
]


@dataclass(frozen=True)
class RunOptions(OptionGroup):
    """What every kind of training is told."""

    out: Annotated[
        Path, typer.Option(help="The folder of the run, which is made.", metavar="FOLDER", show_default=False)
    ]
    data: DataOption
    recipe: RecipeOption = ""
    settings: SetOption = None
    seed: Seed = 0
    resume: Resume = False
    workers: Workers = None
    save_every: Annotated[
        int,
        typer.Option(
            help="Steps between saves, from which a run goes on; 0: at the end of each epoch.",
            metavar="N",
            min=0,
            max=MAX_SEED,
        ),
    ] = 0
    skip_unreadable: Skip = False
    track: Track = None
    profile_input: Annotated[
        bool,
        typer.Option(
            "--profile-input",
            metavar="",
            help="Measure how fast images come and how fast the device learns from them, and train nothing.",
        ),
    ] = False
    device: TorchDevice = ""

    def arguments(self) -> dict[str, Any]:
        """Return them as the API takes them."""
        return super().arguments() | {"settings": self.settings or (), "track": self.track or ()}
