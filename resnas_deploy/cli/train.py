"""`resnas train`: supernets and single networks, and how that goes."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

import resnas_deploy as resnas
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.cli.latency_options import Space
from resnas_deploy.cli.measuring import Force, Plot
from resnas_deploy.cli.option_groups import with_groups
from resnas_deploy.cli.options import Json, complete
from resnas_deploy.cli.output import (
    complain,
    is_first_process,
    is_quiet,
    print_json,
    progress,
    resumable,
    save_results,
    say,
    show_table,
)
from resnas_deploy.cli.train_options import CheckpointOption, RunOptions
from resnas_deploy.errors import first_few
from resnas_deploy.files.outputs import check_new_file
from resnas_deploy.progress import silent
from resnas_deploy.units import several

if TYPE_CHECKING:
    from collections.abc import Callable

    from resnas_deploy.training.input_profile import InputProfile
    from resnas_deploy.training.loop import Trained

train = typer.Typer(
    name="train",
    help="Train supernets and single networks. In several processes: torchrun -m resnas_deploy train ..\n\n"
    "Start with: resnas train supernet --space demo --data demo --out run",
    no_args_is_help=True,
)


@train.command()
@with_groups
def supernet(*, space: Space = "small", options: RunOptions, as_json: Json = False) -> None:
    """Train all networks of a search space at once: each group of a batch trains a subnet of its own.

    Examples:
    $ resnas train supernet --space demo --data demo --out run
    $ resnas train supernet --data imagenet --out run --resume
    $ resnas train supernet --data imagenet --out run --track tensorboard
    $ resnas train supernet --data imagenet --out run --profile-input
    """
    following = f"search --supernet {{}} --data {options.data} --max-macs .. --out found"
    _train(resnas.train.supernet, options, as_json, following, space=space)


@train.command()
@with_groups
def subnet(
    *,
    arch: Annotated[
        str,
        typer.Option(
            help="What to train from scratch: tiny, small, medium, or a file.",
            metavar="NAME|FILE",
            show_default=False,
            autocompletion=complete(PUBLISHED),
        ),
    ] = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights to start from, such as those that a search's winner inherits.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    options: RunOptions,
    as_json: Json = False,
) -> None:
    """Train one network, from scratch or from weights that are there.

    Examples:
    $ resnas train subnet --arch found/arch.json --data demo --out run
    $ resnas train subnet --checkpoint found.safetensors --data demo --out run
    $ resnas train subnet --arch medium --data imagenet --out run
    """
    _train(resnas.train.subnet, options, as_json, "export --checkpoint {}", arch=arch, checkpoint=checkpoint)


@train.command()
@with_groups
def finetune(*, checkpoint: CheckpointOption, options: RunOptions, as_json: Json = False) -> None:
    """Train a network on, at the recipe's image size: position tables are resized bicubically.

    Examples:
    $ resnas train finetune --checkpoint x.safetensors --data imagenet --out y
    """
    _train(resnas.train.finetune, options, as_json, "export --checkpoint {}", checkpoint=checkpoint)


@train.command()
def status(
    folder: Annotated[Path, typer.Argument(help="The folder of a run: the --out of its training.", show_default=False)],
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Tell how a training run goes or went: state, curves, pace and time left. It may be running meanwhile.

    Examples:
    $ resnas train status run
    $ resnas train status run --plot curves.html --force
    """
    if plot:
        from resnas_deploy.measuring.plots import check_plot

        check_new_file(plot, replace=force, field="plot")
        check_plot(plot)
    with progress() as show:
        show("reading the run")
        found = resnas.train.status(folder)
    if as_json:
        print_json(found.to_json())
    else:
        say(str(found))
        if found.run.curves:
            show_table(found.table())
    save_results((plot, lambda path: found.plot(path, force=force)), announce=not as_json)


def _train(
    function: Callable[..., Trained | InputProfile],
    options: RunOptions,
    as_json: bool,
    following: str,
    **others: object,
) -> None:
    """Train by a function of the API, saying after each epoch how it goes, and print what came out.

    `following` is the command that follows, with {} for the checkpoint.
    """
    writes = is_first_process() and not options.profile_input
    with progress() as show, resumable(options.out) if writes else nullcontext():
        show("loading")
        each_epoch = silent if is_quiet() else complain
        found = function(**others, **options.arguments(), each_epoch=each_epoch, progress=show)
    if not is_first_process():
        return
    if not options.profile_input:
        _print(cast("Trained", found), as_json, following)
    elif as_json:
        print_json(found.to_json())
    else:
        say(str(found))


def _print(trained: Trained, as_json: bool, following: str) -> None:
    """Print where the weights are, how good, and the command that follows."""
    if trained.skipped:
        complain(f"note: {several(len(trained.skipped), 'image')} could not be read: {first_few(trained.skipped)}")
    if as_json:
        print_json(trained.to_json())
        return
    say(str(trained))
    say(str(trained.accuracy))
    say(f"next: resnas {following.format(trained.path)}")
