"""`resnas search`: the best subnets of a supernet, by accuracy, under limits on what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.latency_options import SetupOptions
from resnas_deploy.cli.option_groups import OptionGroup, with_groups
from resnas_deploy.cli.options import MAX_COUNT, Json, complete
from resnas_deploy.cli.output import complain, print_json, progress, resumable, say, show_table
from resnas_deploy.cli.train_options import DataOption, Seed, TorchDevice


@dataclass(frozen=True)
class LimitOptions(OptionGroup):
    """What a subnet may cost."""

    max_macs: Annotated[
        str, typer.Option(help="Such as 2.9G, or 60% of the widest subnet's.", metavar="N", show_default=False)
    ] = ""
    max_parameters: Annotated[str, typer.Option(help="Such as 60M, or 60%.", metavar="N", show_default=False)] = ""
    max_latency: Annotated[
        str,
        typer.Option(
            help="Of a batch, by the latency model: such as 8ms, or 60% of the widest subnet's.",
            metavar="TIME",
            show_default=False,
        ),
    ] = ""
    pareto: Annotated[
        bool,
        typer.Option("--pareto", metavar="", help="Look for the whole front of accuracy against latency."),
    ] = False


@dataclass(frozen=True)
class WorkOptions(OptionGroup):
    """How the search is done."""

    iterations: Annotated[int, typer.Option(help="Of the evolution.", metavar="N", min=1, max=MAX_COUNT)] = 20
    first: Annotated[
        int,
        typer.Option(
            help="Subnets of the first iteration, of random widths and depth.", metavar="N", min=1, max=MAX_COUNT
        ),
    ] = 500
    children: Annotated[
        int,
        typer.Option(
            help="Subnets of each later one, half by mutation, half by crossover.", metavar="N", min=2, max=MAX_COUNT
        ),
    ] = 150
    parents: Annotated[
        int, typer.Option(help="The best so far, of which those are made.", metavar="N", min=1, max=MAX_COUNT)
    ] = 75
    finalists: Annotated[int, typer.Option(help="How many to export and measure.", metavar="N", min=1, max=20)] = 3
    halving: Annotated[
        bool,
        typer.Option(
            "--halving", metavar="", help="Let only the better half of the subnets go on to twice the images."
        ),
    ] = False
    predictor: Annotated[
        bool,
        typer.Option("--predictor", metavar="", help="Score a third of the subnets, which a regression chooses."),
    ] = False
    evaluate_fully: Annotated[
        bool, typer.Option("--evaluate-fully", metavar="", help="Do not stop early with subnets that are hopeless.")
    ] = False
    eval_batch: Annotated[int, typer.Option(help="Images at once.", metavar="N", min=1, max=65536)] = 100
    eval_device: TorchDevice = ""
    workers: Annotated[
        str,
        typer.Option(
            help="Evaluate by Ray's workers: ray, or ray:ADDRESS.",
            metavar="ray[:ADDRESS]",
            show_default="this process",
            autocompletion=complete(("ray",)),
        ),
    ] = ""
    seed: Seed = 0
    resume: Annotated[bool, typer.Option("--resume", metavar="", help="Go on with a search that was stopped.")] = False


@with_groups
def search(
    *,
    supernet: Annotated[Path, typer.Option(help="The supernet's checkpoint.", metavar="FILE", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to write.", metavar="FOLDER", show_default=False)],
    data: DataOption,
    limits: LimitOptions,
    setup: SetupOptions,
    work: WorkOptions,
    as_json: Json = False,
) -> None:
    """Find the most accurate subnets within limits, by evolution; then export the best, verify and measure them.

    Accuracy is top-1 on images that training held out, with the supernet's weights. A limit on latency is on what
    the latency model predicts (resnas latency profile); at the end the finalists are measured for real.
    The winner is then trained from scratch (resnas train subnet --arch), or on from the weights that it inherits
    from the supernet (--checkpoint).

    Examples:
    $ resnas search --supernet s.safetensors --data demo --max-macs 60% --out x
    $ resnas search --supernet s.safetensors --data demo --max-latency 8ms --out x
    $ resnas search --supernet s.safetensors --data demo --pareto --out x
    $ resnas search --supernet s --data demo --max-macs 60% --predictor --out x
    """
    with progress(spinner=False) as tell, resumable(out):
        tell("loading")
        options = limits.arguments() | setup.arguments() | work.arguments()
        found = resnas.search(supernet, data=data, out=out, **options, progress=tell)
    if as_json:
        print_json(found.to_json())
    else:
        show_table(found.table())
        if not found.within_limit:
            complain("note: no finalist was measured within --max-latency, so the fastest was taken; profile again")
    if found.unsaved:
        raise found.unsaved
    if not as_json:
        say(f"written: {out}/arch.json, checkpoint.safetensors, front.png, report.html, measured.json, finalists/")
        rest = f"--data {data} --out trained"
        say(f"next: resnas train subnet --arch {out}/arch.json {rest}  # from scratch, as the paper does")
        say(f"or:   resnas train subnet --checkpoint {out}/checkpoint.safetensors {rest}  # its weights inherited")
