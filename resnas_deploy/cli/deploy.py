"""`resnas deploy`: from a checkpoint and a level of service to a Triton repository."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.measuring import show_notes
from resnas_deploy.cli.options import (
    ArchOption,
    CalibrationImagesOption,
    CalibrationOption,
    Json,
    MaxDropOption,
    SubnetOption,
    Threads,
    complete,
)
from resnas_deploy.cli.output import print_json, progress, resumable, say, show_table
from resnas_deploy.cli.words import spoken
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.units import MILLISECONDS, parse_quantity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resnas_deploy.api.deploy import Deployment

_MINUTES = {"": 1.0, "m": 1.0, "min": 1.0, "s": 1 / 60, "h": 60.0}
_RATES = {"": 1.0, "rps": 1.0, "/s": 1.0}
_RUNNERS = ("ort-cpu", "ort-cuda", "tensorrt")
_MOST = 1e10


def deploy(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A checkpoint, or the folder of a search or of training that has one; or artifacts of one network.",
            metavar="CHECKPOINT|ARTIFACT..",
            show_default="--arch with untrained weights",
        ),
    ] = None,
    *,
    repository: Annotated[
        Path, typer.Option(help="The model repository to add to.", metavar="FOLDER", show_default=False)
    ],
    p99: Annotated[
        str,
        typer.Option(help="99 of 100 answers must come within this. Must be given.", metavar="MS", show_default=False),
    ] = "",
    demand: Annotated[
        str,
        typer.Option(
            help="Requests a second that machines are counted for.",
            metavar="RPS",
            show_default="as many as one machine answers",
        ),
    ] = "",
    arch: ArchOption = "",
    subnet: SubnetOption = "",
    precision: Annotated[
        str,
        typer.Option(
            help="To try, separated by commas: fp32, fp16, int8, ..",
            metavar="NAME,NAME,..",
            show_default="fp32,int8 on a CPU; fp16 and others on a GPU",
        ),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            help="Labelled images to compare the accuracy of int8 and fp8 on: demo, or a folder with train/ and val/.",
            metavar="demo|FOLDER",
            show_default="none: int8 and fp8 are not tried",
        ),
    ] = "",
    max_drop: MaxDropOption = 0.5,
    calibration: CalibrationOption = None,
    calibration_images: CalibrationImagesOption = None,
    runner: Annotated[
        str,
        typer.Option(
            help="What serves it: ort-cpu, ort-cuda or tensorrt.",
            metavar="NAME",
            show_default="the first of a GPU that is here, else ort-cpu",
            autocompletion=complete(_RUNNERS),
        ),
    ] = "",
    name: Annotated[
        str, typer.Option(help="The model's name.", metavar="NAME", show_default="the checkpoint's or the artifact's")
    ] = "",
    budget: Annotated[
        str, typer.Option(help="Minutes that measuring and load tests may take together, about.", metavar="MINUTES")
    ] = "5",
    threads: Threads = 0,
    server: Annotated[
        str,
        typer.Option(
            help="The command resnas of an environment that has a server, where this one has none.",
            metavar="PROGRAM",
            show_default="this environment's",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the report and of what is made for it.",
            metavar="FOLDER",
            show_default="NAME-deployment",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what is in that folder: nothing is made twice.", metavar="")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be tried; nothing is written.", metavar="")
    ] = False,
    as_json: Json = False,
) -> None:
    """Export a network in several precisions, measure them, and add what serves a level best to a Triton repository.

    Each candidate's best setting is searched (instances, threads of each, batch), checked in a repository of its own
    and, where a server is installed, asked by a load test. The best needs the fewest machines for the demand, or
    answers most within the level without one. FOLDER has report.html with the price of the others. Exits with 2, and
    leaves the repository as it is, where nothing keeps the level.

    Examples:
    $ resnas deploy found --repository models --p99 20ms --demand 2000rps
    $ resnas deploy a.safetensors --repository models --p99 50ms --data imagenet
    $ resnas deploy a-fp32 a-int8 --repository models --p99 50ms --name a
    $ resnas deploy --arch small --repository models --p99 200ms --budget 10m
    $ resnas deploy found --repository models --p99 20ms --dry-run
    """
    limit = _quantity(p99, MILLISECONDS | {"": 1.0}, "--p99", "a time such as 20ms or 0.05s") if p99 else None
    rate = _quantity(demand, _RATES, "--demand", "requests a second such as 2000 or 2000rps") if demand else None
    minutes = _quantity(budget, _MINUTES, "--budget", "a time such as 10m, 90s or 1h")
    with progress(spinner=False) as show, resumable(out or Path("its folder")):
        found = resnas.deploy(
            sources or (),
            repository=repository,
            p99=limit,
            demand=rate,
            arch=arch or None,
            subnet=subnet,
            precisions=[each.strip() for each in precision.split(",") if each.strip()],
            data=data,
            max_drop=max_drop,
            calibration=calibration,
            calibration_images=calibration_images,
            runner=runner,
            name=name,
            budget=minutes,
            threads=threads,
            server=server,
            out=out,
            resume=resume,
            dry_run=dry_run,
            progress=show,
        )
    if as_json:
        print_json(found.to_json())
    else:
        _print(found, dry_run=dry_run)
    found.check()


def _print(found: Deployment, *, dry_run: bool) -> None:
    table = found.table()
    show_table(replace(table, rows=[[spoken(cell) for cell in row] for row in table.rows]))
    show_notes(found.notes())
    if dry_run:
        return
    say(f"written: {found.document}, {found.page}")
    if chosen := found.found.chosen:
        say(f"in {chosen.model}, version {chosen.version}: {found.verdict()}")
        asked = found.found.asked
        place = shlex.quote(asked.repository)
        if found.found.load_tested:
            say(f"next: resnas triton serve {place}")
            return
        plan = f" --plan {asked.level.demand:g}rps" if asked.level.demand is not None else ""
        model = shlex.quote(asked.name)
        say(f"next: resnas triton load {place} --model {model} --p99 {asked.level.p99_ms:g}ms{plan}")


def _quantity(text: str, units: Mapping[str, float], option: str, wanted: str) -> float:
    found = parse_quantity(text, units)
    if found is None or not 0 < found <= _MOST:
        raise BadInput(f"{option} must be {wanted}, found {shown(text)}")
    return found
