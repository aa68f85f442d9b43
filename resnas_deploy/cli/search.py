"""`resnas search`: the best subnets of a supernet, by accuracy, under limits on what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.cli.latency_options import ImageSize, SetupOptions
from resnas_deploy.cli.option_groups import OptionGroup, with_groups
from resnas_deploy.cli.options import MAX_COUNT, Json, complete
from resnas_deploy.cli.output import print_json, progress, resumable, show_table
from resnas_deploy.cli.search_steps import show_found
from resnas_deploy.cli.train_options import HeldOutOption, Seed, TorchDevice


@dataclass(frozen=True)
class ImageOptions(OptionGroup):
    """What candidates are scored on."""

    data: Annotated[
        str,
        typer.Option(
            help="The data that the supernet was trained on: demo, or a folder; those images count that training held "
            "out.",
            metavar="demo|FOLDER",
            show_default=False,
            autocompletion=complete(("demo",)),
        ),
    ] = ""
    score_on: Annotated[
        str,
        typer.Option(
            help="Instead of --data, labelled images that training did not see: class folders, tar shards, or images "
            "with a list NAME,CLASS (.csv).",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = ""
    held_out: HeldOutOption = None


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
            help="Of a batch, as it will be measured: such as 8ms, or 60% of what is predicted for the widest subnet.",
            metavar="TIME",
            show_default=False,
        ),
    ] = ""
    confidence: Annotated[
        float,
        typer.Option(
            help="How probable it is to be measured within a limit that the model finds kept.",
            metavar="P",
            min=0.5,
            max=0.999,
        ),
    ] = 0.9
    percentile: Annotated[
        str,
        typer.Option(
            help="Of the runs that --max-latency speaks of: p50, p90 or p99.",
            metavar="NAME",
            autocompletion=complete(("p50", "p90", "p99")),
        ),
    ] = "p50"
    min_throughput: Annotated[
        str,
        typer.Option(
            help="Such as 2000/s: images a second, without --batch at the best batch size that was profiled.",
            metavar="RATE",
            show_default=False,
        ),
    ] = ""
    max_memory: Annotated[
        str,
        typer.Option(
            help="Of weights and activations at their peak: such as 200MB, or 60%.", metavar="SIZE", show_default=False
        ),
    ] = ""
    max_energy: Annotated[
        str,
        typer.Option(help="Of an image, where a meter is: such as 50mJ, or 60%.", metavar="ENERGY", show_default=False),
    ] = ""
    latency_of: Annotated[
        str,
        typer.Option(
            help="The profiled machine that the limit is on; resnas latency machines lists them.",
            metavar="MACHINE",
            show_default="this one",
        ),
    ] = ""
    pareto: Annotated[
        bool,
        typer.Option("--pareto", metavar="", help="Look for the whole front of accuracy against latency."),
    ] = False


@dataclass(frozen=True)
class SearchSetupOptions(SetupOptions):
    """How finalists are timed; the batch may be left to the search."""

    batch: Annotated[
        int | None,
        typer.Option(
            help="The batch size.", metavar="N", min=1, max=MAX_BATCH, show_default="1, or by --min-throughput"
        ),
    ] = None  # type: ignore[assignment]  # which says that none was given
    image_size: ImageSize = None


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
    finalists: Annotated[
        int, typer.Option(help="How many to export and measure together.", metavar="N", min=1, max=20)
    ] = 3
    tries: Annotated[
        int,
        typer.Option(help="How many at most, where none keeps the limit as measured.", metavar="N", min=1, max=1000),
    ] = 12
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


PlanOption = Annotated[
    bool, typer.Option("--plan", metavar="", help="Tell what it would take, by a few timed passes; search nothing.")
]


@with_groups
def search(
    *,
    supernet: Annotated[Path, typer.Option(help="The supernet's checkpoint.", metavar="FILE", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to write.", metavar="FOLDER", show_default=False)],
    images: ImageOptions,
    limits: LimitOptions,
    setup: SearchSetupOptions,
    work: WorkOptions,
    plan: PlanOption = False,
    as_json: Json = False,
) -> None:
    """Find the most accurate subnets within limits, by evolution; then export the best, verify and measure them.

    Accuracy is top-1 on images that training held out, with the supernet's weights. A limit on latency is on what
    will be measured: a subnet is inside where the latency model (resnas latency profile) says so with --confidence; at
    the end the finalists are measured for real.
    By the latencies of another machine it ends with the finalists: measure them there (resnas search measure), then
    finish here (resnas search finish).
    The winner is then trained from scratch (resnas train subnet --arch), or on from the weights that it inherits
    from the supernet (--checkpoint).

    Examples:
    $ resnas search --supernet s.safetensors --data demo --max-macs 60% --out x
    $ resnas search --supernet s.safetensors --data demo --max-latency 8ms --out x
    $ resnas search --supernet net --data demo --min-throughput 2000/s --out x
    $ resnas search --supernet s.safetensors --data demo --pareto --out x
    $ resnas search --supernet s --score-on val --held-out 9 --max-macs 2G --out x
    $ resnas search --supernet net --data imagenet --max-macs 2G --out x --plan
    $ resnas search --supernet net --data demo --pareto --latency-of pi --out x
    $ resnas search --supernet s --data demo --max-macs 60% --predictor --out x
    """
    if plan:
        with progress() as tell:
            options = images.arguments() | limits.arguments() | setup.arguments() | work.arguments()
            priced = resnas.search.plan(supernet, out=out, **options, progress=tell)
        if as_json:
            print_json(priced.to_json())
        else:
            show_table(priced.table())
        return
    with progress(spinner=False) as tell, resumable(out):
        tell("loading")
        options = images.arguments() | limits.arguments() | setup.arguments() | work.arguments()
        found = resnas.search(supernet, out=out, **options, progress=tell)
    if as_json:
        print_json(found.to_json())
    show_found(found, images.data or "FOLDER", quiet=as_json)
