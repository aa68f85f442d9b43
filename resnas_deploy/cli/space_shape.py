"""`resnas space shape`: which choices of a space are worth having on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.build import CapabilityOption
from resnas_deploy.cli.latency_options import ImageSize, SetupOptions, Space
from resnas_deploy.cli.option_groups import with_groups
from resnas_deploy.cli.options import ENGINE_TARGETS, Json, complete, finite
from resnas_deploy.cli.output import complain, print_json, progress, save_results, say, show_table
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import check_apart, check_new_file
from resnas_deploy.processes import ending


@with_groups
def shape(
    *,
    space: Space = "small",
    setup: SetupOptions,
    image_size: ImageSize = None,
    target: Annotated[
        str,
        typer.Option(
            help="Count the kernels of this builder instead, for devices that are not here.",
            metavar="|".join(ENGINE_TARGETS[:2]),
            show_default="none: time on --runner",
            autocompletion=complete(ENGINE_TARGETS[:2]),
        ),
    ] = "",
    capability: CapabilityOption = "",
    attention: Annotated[
        str,
        typer.Option(
            help="int8 and fp8 of a --target: whether the products of attention are in it too, or kept.",
            metavar="quantised|kept",
            show_default="as resnas export has it",
            autocompletion=complete(("quantised", "kept")),
        ),
    ] = "",
    within: Annotated[
        float,
        typer.Option(
            help="What the widest subnet may cost, as a share of what that of before does.",
            metavar="SHARE",
            min=1,
            max=10,
            callback=finite,
        ),
    ] = 1.0,
    openings: Annotated[
        int, typer.Option(help="Times that every network is opened anew.", metavar="N", min=2, max=100)
    ] = 4,
    minutes: Annotated[
        float,
        typer.Option(
            help="After which nothing more is begun; the same command goes on. 0: take what the store has.",
            metavar="N",
            min=0,
            max=10_000,
            callback=finite,
        ),
    ] = 30.0,
    out: Annotated[
        Path | None, typer.Option(help="The space's file to write (.toml).", metavar="FILE", show_default="none")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw it into this page (.html).", metavar="FILE", show_default=False)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", metavar="", help="Replace the files of --out and --plot that are there.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure which choices of a search space are worth having on this device, and write the space that is left.

    A width, a number of heads, a head_dim or a hidden size goes where a wider
    one costs no more beyond the noise; the widest such one is added where it
    was none of the space's. Small untrained networks are timed that differ in
    nothing else. Whatever is measured is kept: the same command goes on where
    one was stopped.

    Examples:
    $ resnas space shape --space small --runner ort-cpu --out mine.toml
    $ resnas space shape --runner openvino --precision int8 --plot shape.html
    $ resnas space shape --target tensorrt-rtx --precision fp16 --out rtx.toml
    """
    check_apart(out=out, plot=plot)
    if plot:
        if plot.suffix.lower() != ".html":
            raise BadInput(f"`plot` must end in .html, found {plot.name}")
        check_new_file(plot, replace=force, field="plot")
    with progress(spinner=False) as show:
        show("opening the store")
        found = resnas.space.shape(
            space,
            image_size=image_size,
            target=target,
            capability=capability,
            attention=attention,
            within=within,
            openings=openings,
            minutes=minutes,
            out=out,
            force=force,
            progress=show,
            **setup.arguments(),
        )
    for text in found.notes:
        complain(f"note: {text}")
    written = out if out and not found.interrupted else None
    if as_json:
        print_json(found.to_json())
    else:
        show_table(found.table())
        say(f"{found.counts()}; {found.measured_now} networks were measured now, in {found.seconds / 60:.1f} minutes")
        if found.widest:
            ratio = found.widest
            say(f"the widest subnet costs {ratio.value:.3f} of that of before ({ratio.low:.3f} to {ratio.high:.3f})")
        if written:
            say(f"written: {written}")
    save_results((plot, lambda path: found.plot(path, replace=force)), announce=not as_json)
    if found.interrupted:
        raise typer.Exit(ending.INTERRUPTED)
    if written and not as_json:
        say(f"next: resnas train supernet --space {written} --data FOLDER --out run")
