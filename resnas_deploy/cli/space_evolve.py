"""`resnas space evolve`: the ranges of a search space, searched too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.latency_options import SetupOptions
from resnas_deploy.cli.option_groups import OptionGroup, with_groups
from resnas_deploy.cli.options import MAX_COUNT, Json, complete
from resnas_deploy.cli.output import complain, is_quiet, print_json, progress, resumable, say, show_table
from resnas_deploy.cli.train_options import DataOption, HeldOutOption, RecipeOption, Seed, SetOption, TorchDevice
from resnas_deploy.progress import silent

if TYPE_CHECKING:
    from resnas_deploy.api.evolve import EvolutionPlan, EvolvedSpace


@dataclass(frozen=True)
class EvolvedOn(OptionGroup):
    """What subnets are scored on, and their supernet is trained on with."""

    data: DataOption
    score_on: Annotated[
        str,
        typer.Option(
            help="Score on labelled images that training did not see, instead of those of --data that it held out.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = ""
    held_out: HeldOutOption = None


@dataclass(frozen=True)
class EvolvedWithin(OptionGroup):
    """What a subnet may cost."""

    max_macs: Annotated[
        str,
        typer.Option(help="Such as 2.9G, or 60% of the first space's widest subnet.", metavar="N", show_default=False),
    ] = ""
    max_latency: Annotated[
        str,
        typer.Option(
            help="Of a batch: such as 8ms, or 60% of what is predicted for that one; each space is profiled.",
            metavar="TIME",
            show_default=False,
        ),
    ] = ""

    def of_search(self) -> str:
        """Return them as options of a search in the evolved space, where a share would be of another subnet."""
        given = {"--max-macs": self.max_macs, "--max-latency": self.max_latency}
        return " ".join(f"{key} {'..' if '%' in limit else limit}" for key, limit in given.items() if limit)


@dataclass(frozen=True)
class EvolvedBy(OptionGroup):
    """How ranges move, and the supernet is trained on."""

    networks: Annotated[
        int | None,
        typer.Option(help="Measured for a space's latency.", metavar="N", min=1, max=MAX_COUNT, show_default="120"),
    ] = None
    rounds: Annotated[
        int, typer.Option(help="At most; fewer where no range moves any more.", metavar="N", min=1, max=20)
    ] = 2
    subnets: Annotated[
        int, typer.Option(help="Scored in each round, and once more at the end.", metavar="N", min=2, max=MAX_COUNT)
    ] = 200
    most_growth: Annotated[
        float,
        typer.Option(help="How many times its first MACs the widest subnet may come to.", metavar="X", min=1, max=100),
    ] = 1.5
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Of training after a round.", metavar="N", min=1, max=MAX_COUNT, show_default="a third of the recipe's"
        ),
    ] = None
    recipe: RecipeOption = ""
    settings: SetOption = None
    eval_batch: Annotated[int, typer.Option(help="Images scored at once.", metavar="N", min=1, max=65536)] = 100
    eval_device: TorchDevice = ""
    workers: Annotated[
        str,
        typer.Option(
            help="Score by Ray's workers: ray, or ray:ADDRESS.",
            metavar="ray[:ADDRESS]",
            show_default="this process",
            autocompletion=complete(("ray",)),
        ),
    ] = ""
    seed: Seed = 0
    resume: Annotated[bool, typer.Option("--resume", metavar="", help="Go on with one that was stopped.")] = False

    def arguments(self) -> dict[str, Any]:
        """Return them as the API takes them."""
        return super().arguments() | {"settings": self.settings or ()}


@with_groups
def evolve(
    *,
    supernet: Annotated[Path, typer.Option(help="The supernet's checkpoint.", metavar="FILE", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to write.", metavar="FOLDER", show_default=False)],
    images: EvolvedOn,
    limits: EvolvedWithin,
    setup: SetupOptions,
    work: EvolvedBy,
    plan: Annotated[
        bool, typer.Option("--plan", metavar="", help="Tell what it would take, by a few timed passes; do nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Move a space's ranges towards what gains accuracy within limits, and train its supernet on there.

    A round scores random subnets, fits what a step of each choice does to accuracy and to cost, and moves the ranges
    whose gain is beyond its interval: the worst end goes, one step further at the good end comes. Weights that exist
    are kept. FOLDER then has space.toml, the supernet (checkpoint.safetensors) and report.html.

    Examples:
    $ resnas space evolve --supernet s --data demo --max-macs 60% --out x
    $ resnas space evolve --supernet s --data demo --max-latency 8ms --out x
    $ resnas space evolve --supernet s --data demo --max-macs 60% --out x --plan
    """
    options = images.arguments() | limits.arguments() | setup.arguments() | work.arguments()
    if plan:
        with progress() as tell:
            priced = cast("EvolutionPlan", resnas.space.evolve(supernet, out=out, **options, plan=True, progress=tell))
        if as_json:
            print_json(priced.to_json())
        else:
            show_table(priced.table())
        return
    with progress(spinner=False) as tell, resumable(out):
        tell("loading")
        each_epoch = silent if is_quiet() else complain
        done = resnas.space.evolve(supernet, out=out, **options, each_epoch=each_epoch, progress=tell)
    found = cast("EvolvedSpace", done)
    if as_json:
        print_json(found.to_json())
        return
    say(str(found))
    if (moved := found.table()).rows:
        show_table(moved)
    say(f"written: {found.space_path}, {found.checkpoint_path}, {found.report_path}")
    say(f"next: resnas search --supernet {found.checkpoint_path} --data {images.data} {limits.of_search()} --out found")
