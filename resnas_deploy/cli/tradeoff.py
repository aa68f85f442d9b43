"""`resnas tradeoff`: accuracy as published against what each network costs on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.measuring import Runners, numbers, show_notes
from resnas_deploy.cli.options import DeviceOption, Json, Threads
from resnas_deploy.cli.output import print_json, progress, say, show_table
from resnas_deploy.processes import ending


def tradeoff(
    out: Annotated[
        Path,
        typer.Option(
            help="The folder of the comparison: a new one, or one that is to go on.",
            metavar="FOLDER",
            show_default=False,
        ),
    ],
    networks: Annotated[
        str,
        typer.Option(
            help="Which published networks, separated by commas: tiny, small, medium, deit-small, ..",
            metavar="NAME,NAME,..",
            show_default="all",
        ),
    ] = "",
    runner: Runners = None,
    batch: Annotated[str, typer.Option(help="Batch sizes, separated by commas.", metavar="N,N,..")] = "1,16",
    precision: Annotated[
        str,
        typer.Option(
            help="Of the published networks, separated by commas: fp32, fp16, bf16, int8. In int8 all are quantised "
            "alike.",
            metavar="NAME,NAME,..",
        ),
    ] = "fp32",
    artifact: Annotated[
        list[Path] | None,
        typer.Option(
            help="A network of your own to measure beside, in its own precision; give it again for more.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    top1: Annotated[
        list[str] | None,
        typer.Option(
            "--top1",
            help="The accuracy of an artifact, by its folder's name; give it again for more.",
            metavar="NAME=81.2",
            show_default="a quantised one's: of its manifest",
        ),
    ] = None,
    runs: Annotated[int, typer.Option(help="Timed runs of each configuration, over all openings.", metavar="N")] = 9,
    openings: Annotated[int, typer.Option(help="Times that every runtime is opened anew.", metavar="N")] = 3,
    threads: Threads = 0,
    device: DeviceOption = "",
    as_json: Json = False,
) -> None:
    """Measure our networks and those of other papers, and draw published top-1 against MACs and measured throughput.

    DeiT, PiT, PVT and Swin beside ViT-ResNAS, all with untrained weights: no time hangs on them. Top-1 is what each
    paper says, at 224 pixels and without distillation; it is not measured. Everything is timed interleaved, in parts.
    FOLDER keeps what is done, and the graphs, which a second run takes again: the same command goes on where one was
    stopped. In the end it has tradeoff.json, index.html and tradeoff.svg.

    Examples:
    $ resnas tradeoff --out tradeoff
    $ resnas tradeoff --out both --runner openvino --precision fp32,int8
    $ resnas tradeoff --out quick --networks small,deit-small --batch 1 --runs 6
    $ resnas tradeoff --out mine --artifact my-net --top1 my-net=81.2
    """
    with progress(spinner=False) as show:
        found = resnas.tradeoff(
            out,
            networks=_names(networks),
            runners=runner or (),
            batches=numbers(batch, "--batch", "batch sizes such as 1,16"),
            precisions=_names(precision),
            artifacts=artifact or (),
            top1=top1 or (),
            runs=runs,
            openings=openings,
            threads=threads,
            device=device,
            progress=show,
        )
    if as_json:
        print_json(found.to_json())
    else:
        if found.measured.points:
            show_table(found.table())
        show_notes(found.notes())
        for path in (found.document, found.page, found.picture):
            if path.is_file():
                say(f"written: {path}")
    if found.interrupted:
        raise typer.Exit(ending.INTERRUPTED)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
