"""Options that several commands share, and what their values mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from resnas_deploy.api.parameters import MAX_COUNT as MAX_COUNT
from resnas_deploy.api.parameters import MAX_SECONDS as MAX_SECONDS
from resnas_deploy.api.parameters import MAX_SEED as MAX_SEED
from resnas_deploy.api.parameters import MAX_THREADS as MAX_THREADS
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.engines.options import COMPATIBILITY as COMPATIBILITY
from resnas_deploy.engines.targets import TARGETS as ENGINES
from resnas_deploy.runners.devices import CPU, CUDA
from resnas_deploy.runners.registry import RUNNERS

RUNNER_NAMES = tuple(RUNNERS)
ENGINE_TARGETS = tuple(ENGINES)
TARGETS = ("onnx", *ENGINE_TARGETS)
DEVICES = (CPU, CUDA, f"{CUDA}:0")


def finite(value: float | None) -> float | None:
    """Return the value of an option, unless it is NaN or infinite: what is no number is outside of no range."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def complete(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what a shell may complete a word to, for an option that takes one of `names`."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


ArtifactArgument = Annotated[
    Path, typer.Argument(help="An artifact's folder, made by resnas export.", show_default=False)
]
RunnableArgument = Annotated[
    Path, typer.Argument(help="An artifact's folder, or an engine in one (engines/ID.engine).", show_default=False)
]
EngineOption = Annotated[
    str,
    typer.Option(
        help="The artifact's engine to run: the beginning of its ID, or its file; resnas inspect lists them.",
        metavar="ID|FILE",
        show_default="one that fits; else one is built",
    ),
]
OptimumOption = Annotated[
    int | None,
    typer.Option(
        help="The batch that the engine is tuned for: what will be served.",
        metavar="N",
        min=1,
        max=MAX_BATCH,
        show_default="the largest of its range, which a server forms under load",
    ),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON document instead of text.")]
Threads = Annotated[
    int,
    typer.Option(help="CPU threads.", metavar="N", min=0, max=MAX_THREADS, show_default="0, which takes every core"),
]
RunnerOption = Annotated[
    str,
    typer.Option(
        help="The runtime; resnas runners lists them.",
        metavar="NAME",
        show_default="the first that can run the precision",
        autocompletion=complete(RUNNER_NAMES),
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        help="cpu, cuda or cuda:N.",
        metavar="DEVICE",
        show_default="the runner's usual one",
        autocompletion=complete(DEVICES),
    ),
]
Tf32Option = Annotated[
    bool,
    typer.Option("--tf32", metavar="", help="On a GPU: let float32 be rounded to TF32 (10 bits) in products."),
]
DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="int8 and fp8: labelled images to compare accuracy on: demo, or a folder with train/ and val/.",
        metavar="demo|FOLDER",
        show_default="demo, for a network of its classes",
    ),
]
CalibrationOption = Annotated[
    Path | None,
    typer.Option(
        help="int8 and fp8: images, or an array of them as the graph takes them, to learn ranges from.",
        metavar="FOLDER|FILE.npy",
        show_default="built-in images",
    ),
]
CalibrationImagesOption = Annotated[
    int | None, typer.Option(help="How many of them.", metavar="N", min=1, max=MAX_COUNT, show_default="128")
]
MaxDropOption = Annotated[
    float,
    typer.Option(
        help="int8 and fp8: percentage points of top-1 that may be lost.",
        metavar="POINTS",
        min=0,
        max=100,
        callback=finite,
    ),
]
ArchOption = Annotated[
    str,
    typer.Option(
        help=f"{', '.join(PUBLISHED)}, or a file: an architecture as JSON or a network_def.",
        metavar="NAME|FILE",
        show_default="the checkpoint's",
        autocompletion=complete(PUBLISHED),
    ),
]
SubnetOption = Annotated[
    str,
    typer.Option(help="Slice this subnet (a network_def) out of the checkpoint of a supernet.", metavar="FILE|TEXT"),
]
