"""`resnas evaluate`: how good a network is on labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.cli.options import (
    DeviceOption,
    EngineOption,
    Json,
    RunnerOption,
    Tf32Option,
    Threads,
    complete,
)
from resnas_deploy.cli.output import complain, print_json, progress, save_results, say, show_table
from resnas_deploy.errors import BadInput, first_few
from resnas_deploy.files.outputs import check_apart, check_new_file
from resnas_deploy.units import several


def evaluate(
    artifact: Annotated[
        Path,
        typer.Argument(
            help="An artifact's folder, an engine in one, a bare ONNX file, or a checkpoint (.safetensors).",
            show_default=False,
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            help="demo, which is built in; a folder of class folders, of WebDataset shards, or of images with a list; "
            "one with train/ and val/, of which val/ is taken; or a list with its images beside it.",
            metavar="demo|FOLDER|LIST",
            show_default=False,
            autocompletion=complete(("demo",)),
        ),
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A list that lies elsewhere than the images: LOC_val_solution.csv, lines NAME,CLASS or PATH CLASS, or "
            "a class a line in the order of the images' names.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            help="Another network, which is run on the same images and compared.", metavar="PATH", show_default=False
        ),
    ] = "",
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write a page: figures, calibration, classes, and the mistakes drawn.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Write what was answered to each image.", metavar="FILE", show_default=False),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Replace the files of --html and --csv that are there.")
    ] = False,
    skip_unreadable: Annotated[
        bool,
        typer.Option(
            "--skip-unreadable", metavar="", help="Do not end with exit code 2 for images that cannot be read."
        ),
    ] = False,
    class_names: Annotated[
        Path | None,
        typer.Option(
            help="A text file, a class a line, for a network that does not know their names.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    preprocessing: Annotated[
        Path | None,
        typer.Option(
            help="Of bare ONNX files: JSON that says how images are prepared, or a manifest.json with that.",
            metavar="FILE",
            show_default="as ImageNet's are",
        ),
    ] = None,
    batch: Annotated[
        int,
        typer.Option(help="Images at once, or the nearest that the network takes.", metavar="N", min=1, max=MAX_BATCH),
    ] = 16,
    runner: RunnerOption = "",
    engine: EngineOption = "",
    device: DeviceOption = "",
    tf32: Tf32Option = False,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Measure how good a network is on labelled images: top-1, top-5, cross-entropy, classes, calibration.

    Images that cannot be read are named, count nowhere, and the exit is 2 in the end.

    Examples:
    $ resnas evaluate clothes --data demo --html clothes.html
    $ resnas evaluate clothes-int8 --data demo --against clothes
    $ resnas evaluate run/checkpoint.safetensors --data demo
    $ resnas evaluate small --data val --labels LOC_val_solution.csv
    """
    check_apart(csv=csv, html=html)
    for path, field in ((html, "html"), (csv, "csv")):
        if path:
            check_new_file(path, replace=force, field=field)
    with progress() as show:
        show("checking the files")
        found = resnas.evaluate(
            artifact,
            data,
            labels=labels,
            against=against,
            class_names=class_names,
            preprocessing=preprocessing,
            batch=batch,
            runner=runner,
            engine=engine,
            device=device,
            tf32=tf32,
            threads=threads,
            progress=show,
        )
    if as_json:
        print_json(found.to_json())
    else:
        if found.document.figures.trained is False:
            say("The weights are untrained: these figures mean nothing.")
        show_table(found.table())
        show_table(found.worst_classes())
        if found.document.confusions:
            show_table(found.confusions())
        say(str(found))
        if text := found.difference():
            say(text)
    save_results(
        (html, lambda path: found.save_page(path, force=force)),
        (csv, lambda path: found.save_csv(path, force=force)),
        announce=not as_json,
    )
    if found.unreadable:
        complain(f"{several(len(found.unreadable), 'image')} could not be read: {first_few(found.unreadable)}")
        if not skip_unreadable:
            raise typer.Exit(BadInput.exit_code)
