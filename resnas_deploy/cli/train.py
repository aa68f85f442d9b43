"""`resnas train`: supernets, single networks, and how good they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.latency_options import Space
from resnas_deploy.cli.options import MAX_SEED, Json
from resnas_deploy.cli.output import complain, print_json, progress, resumable, say
from resnas_deploy.cli.train_options import (
    CheckpointOption,
    DataOption,
    RecipeOption,
    Resume,
    Seed,
    SetOption,
    Skip,
    TorchDevice,
    Workers,
    check_torch,
)
from resnas_deploy.errors import BadInput, first_few
from resnas_deploy.files.locks import claiming
from resnas_deploy.weights.arch_files import read_arch

if TYPE_CHECKING:
    from resnas_deploy.training.evaluate import Accuracy
    from resnas_deploy.training.prepare import Wanted
    from resnas_deploy.training.settings import Run

Out = Annotated[Path, typer.Option(help="The folder of the run, which is made.", metavar="FOLDER", show_default=False)]
SaveEvery = Annotated[
    int,
    typer.Option(
        help="Steps between saves, from which a run goes on; 0: at the end of each epoch.",
        metavar="N",
        min=0,
        max=MAX_SEED,
    ),
]

train = typer.Typer(
    name="train",
    help="Train supernets and single networks. In several processes: torchrun -m resnas_deploy train ..\n\n"
    "Start with: resnas train supernet --space demo --data demo --out run",
    no_args_is_help=True,
)


@train.command()
def supernet(
    out: Out,
    data: DataOption,
    space: Space = "small",
    recipe: RecipeOption = "",
    set_: SetOption = None,
    seed: Seed = 0,
    resume: Resume = False,
    workers: Workers = 0,
    save_every: SaveEvery = 0,
    skip_unreadable: Skip = False,
    device: TorchDevice = "",
    as_json: Json = False,
) -> None:
    """Train all networks of a search space at once: each group of a batch trains a subnet of its own.

    Examples:
    $ resnas train supernet --space demo --data demo --out run
    $ resnas train supernet --data imagenet --workers 8 --out run --resume
    """
    wanted = _wanted(out, recipe, set_, data, seed, resume, workers, save_every, skip_unreadable)
    from resnas_deploy.arch.space import space_named
    from resnas_deploy.training.prepare import supernet_run

    _train(lambda: supernet_run(space_named(space), wanted), wanted, device, as_json)


@train.command()
def subnet(
    out: Out,
    data: DataOption,
    arch: Annotated[
        str,
        typer.Option(
            help="What to train from scratch: tiny, small, medium, or a file.", metavar="NAME|FILE", show_default=False
        ),
    ] = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Weights to start from, such as a search's winner.", metavar="FILE", show_default=False),
    ] = None,
    recipe: RecipeOption = "",
    set_: SetOption = None,
    seed: Seed = 0,
    resume: Resume = False,
    workers: Workers = 0,
    save_every: SaveEvery = 0,
    skip_unreadable: Skip = False,
    device: TorchDevice = "",
    as_json: Json = False,
) -> None:
    """Train one network, from scratch or from weights that are there.

    Examples:
    $ resnas train subnet --arch arch.json --data demo --out run
    $ resnas train subnet --checkpoint found.safetensors --data imagenet --out run
    """
    if bool(arch) == bool(checkpoint):
        raise BadInput("there must be one of --arch and --checkpoint, found " + ("both" if arch else "neither"))
    wanted = _wanted(out, recipe, set_, data, seed, resume, workers, save_every, skip_unreadable)
    from resnas_deploy.training.prepare import scratch_run, weights_run

    def run() -> Run:
        return weights_run(checkpoint, "subnet", wanted) if checkpoint else scratch_run(read_arch(arch), wanted)

    _train(run, wanted, device, as_json)


@train.command()
def finetune(
    out: Out,
    checkpoint: CheckpointOption,
    data: DataOption,
    recipe: RecipeOption = "",
    set_: SetOption = None,
    seed: Seed = 0,
    resume: Resume = False,
    workers: Workers = 0,
    save_every: SaveEvery = 0,
    skip_unreadable: Skip = False,
    device: TorchDevice = "",
    as_json: Json = False,
) -> None:
    """Train a network on, at the recipe's image size: position tables are resized bicubically.

    Examples:
    $ resnas train finetune --checkpoint x.safetensors --data imagenet --out y
    """
    wanted = _wanted(out, recipe, set_, data, seed, resume, workers, save_every, skip_unreadable)
    from resnas_deploy.training.prepare import weights_run

    _train(lambda: weights_run(checkpoint, "finetune", wanted), wanted, device, as_json)


@train.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint (.safetensors).", show_default=False)],
    data: DataOption,
    batch: Annotated[int, typer.Option(help="Images at once.", metavar="N", min=1, max=65536)] = 64,
    workers: Workers = 0,
    skip_unreadable: Skip = False,
    device: TorchDevice = "",
    as_json: Json = False,
) -> None:
    """How many images of the validation split a network gets right.

    Examples:
    $ resnas train evaluate run/checkpoint.safetensors --data demo
    """
    check_torch()
    with progress() as tell:
        tell("loading")
        from resnas_deploy.training.distributed import joined
        from resnas_deploy.training.prepare import accuracy_of

        with joined(device, os.environ) as processes:
            tell("evaluating")
            found = accuracy_of(checkpoint, data, batch, workers, processes)
    if found.unreadable and not skip_unreadable:
        raise BadInput(f"{first_few(found.unreadable)}; or give --skip-unreadable")
    if not processes.first:
        return
    if as_json:
        print_json({"checkpoint": str(checkpoint), "data": data, **_figures(found)})
        return
    say(_accuracy(found))


def _wanted(
    out: Path,
    recipe: str,
    settings: list[str] | None,
    data: str,
    seed: int,
    resume: bool,
    workers: int,
    save_every: int,
    skip_unreadable: bool,
) -> Wanted:
    check_torch()
    from resnas_deploy.training.prepare import Wanted

    return Wanted(out, recipe, settings or (), data, seed, resume, workers, save_every, skip_unreadable)


def _train(start: Callable[[], Run], wanted: Wanted, device: str, as_json: bool) -> None:
    """Train, and say where the weights are and how good."""
    with progress() as tell:
        tell("loading")
        from resnas_deploy.training.distributed import joined
        from resnas_deploy.training.loop import train
        from resnas_deploy.training.settings import CHECKPOINT

        with joined(device, os.environ) as processes:
            run = start()
            with ExitStack() as stack:
                if processes.first:
                    taken = "give --resume to go on with it, or choose another --out"
                    stack.enter_context(claiming(wanted.out, resume=wanted.resume, taken=taken))
                    stack.enter_context(resumable(wanted.out))
                processes.wait()
                trained = train(
                    run,
                    processes,
                    tell if processes.first else lambda _: None,
                    complain if processes.first else lambda _: None,
                )
    if not processes.first:
        return
    checkpoint = wanted.out / CHECKPOINT
    if trained.unreadable:
        complain(f"note: {len(trained.unreadable)} images could not be read: {first_few(trained.unreadable)}")
    if as_json:
        print_json(
            {
                "checkpoint": str(checkpoint),
                "arch": run.arch.to_json(),
                "recipe": vars(run.recipe),
                **_figures(trained.accuracy),
                "skipped": list(trained.unreadable),
            }
        )
        return
    what = f"supernet of the space {run.space.name}" if run.space else f"network {run.arch.fingerprint}"
    say(f"{checkpoint}: {what}, {run.recipe.epochs} epochs on {len(run.train.labels)} images")
    say(_accuracy(trained.accuracy))
    if run.space:
        say(f"next: resnas search --supernet {checkpoint} --data {wanted.data} --max-macs .. --out found")
    else:
        say(f"next: resnas export --checkpoint {checkpoint}")


def _figures(found: Accuracy) -> dict[str, object]:
    return {"top1": found.top1, "top5": found.top5, "pictures": found.images, "unreadable": list(found.unreadable)}


def _accuracy(found: Accuracy) -> str:
    lost = f"; {len(found.unreadable)} more could not be read" if found.unreadable else ""
    return f"top-1 {found.top1:.2%}, top-5 {found.top5:.2%} of {found.images} validation images{lost}"
