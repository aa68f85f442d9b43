"""`resnas predict`: the top classes of image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.api.predict_forms import CSV, DOCUMENT, LINES, form_of
from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.cli.options import (
    MAX_COUNT,
    DeviceOption,
    EngineOption,
    Json,
    RunnableArgument,
    RunnerOption,
    Tf32Option,
    Threads,
)
from resnas_deploy.cli.output import complain, progress, say
from resnas_deploy.cli.predicted import TABLE, Output, writing
from resnas_deploy.errors import BadInput, ResnasError
from resnas_deploy.files.outputs import check_new_file


def predict(
    artifact: RunnableArgument,
    images: Annotated[
        list[str],
        typer.Argument(
            help="Image files (JPEG, PNG, WebP, GIF, TIFF, BMP), folders of them at any depth, quoted patterns "
            "('photos/**/*.jpg'), lists of files, one a line (@FILE), or - for a list on stdin.",
            show_default=False,
        ),
    ],
    top: Annotated[int, typer.Option(help="Classes to show for each image.", metavar="N", min=1, max=MAX_COUNT)] = 5,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Images to run at once.",
            metavar="N",
            min=1,
            max=MAX_BATCH,
            show_default="16 on a CPU, 64 on a GPU, or the nearest that the network takes",
        ),
    ] = None,
    runner: RunnerOption = "",
    engine: EngineOption = "",
    device: DeviceOption = "",
    tf32: Tf32Option = False,
    threads: Threads = 0,
    csv: Annotated[bool, typer.Option("--csv", metavar="", help="Print CSV, a line for each class.")] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", metavar="", help="Print a JSON object a line for each image, as it is done.")
    ] = False,
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write that to a file, when all is done; without one of the three its end says which: .csv, .jsonl, "
            ".json.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", metavar="", help="Replace the file of --out.")] = False,
) -> None:
    """Classify images, as many as there are. What cannot be read is named at the end, and the exit is 2 then.

    Examples:
    $ resnas predict small-fp32 images/*.jpg
    $ resnas predict small-fp32 photos --csv --top 1 > classes.csv
    $ resnas predict small-fp32 - --jsonl < list.txt
    $ resnas predict small-fp16 @list.txt --batch 32 --out classes.jsonl
    $ resnas predict small-fp16 images --engine 3514cb55
    """
    form = _form(csv=csv, jsonl=jsonl, as_json=as_json, out=out)
    if out:
        check_new_file(out, replace=force)
    with progress() as show:
        show("checking the files")
        with resnas.predictions(
            artifact,
            images,
            top=top,
            batch=batch,
            runner=runner,
            engine=engine,
            device=device,
            tf32=tf32,
            threads=threads,
            progress=show,
        ) as found:
            if form in (CSV, LINES) and not found.trained:
                complain("note: the weights are untrained: these classes mean nothing")
            with writing(out, force=force) as write:
                output = Output(form, found, write)
                try:
                    for prediction in found:
                        output.take(prediction)
                    output.end()
                except (KeyboardInterrupt, ResnasError) as error:
                    output.give_up()
                    if isinstance(error, KeyboardInterrupt):
                        kept = f", and {out} is not written" if out else ""
                        complain(f"{output.done:,} images were done{kept}")
                    raise
    if out:
        say(f"written: {out}")
    for message in output.errors:
        complain(message)
    if output.errors:
        raise typer.Exit(BadInput.exit_code)


def _form(*, csv: bool, jsonl: bool, as_json: bool, out: Path | None) -> str:
    """Return the form that is asked for. Raise `BadInput` for several."""
    asked = {CSV: csv, LINES: jsonl, DOCUMENT: as_json}
    forms = [form for form, wanted in asked.items() if wanted]
    if len(forms) > 1:
        found = " and ".join(f"--{form}" for form in forms)
        raise BadInput(f"one form must be asked for, found {found}; leave one out")
    if forms:
        return forms[0]
    return form_of(out) if out else TABLE
