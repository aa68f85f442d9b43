"""`resnas latency`: a model of what networks of a search space take on this machine, and how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.cli.latency_files import machines, pack, unpack
from resnas_deploy.cli.latency_options import ImageSize, NodeOption, SetupOptions, Space
from resnas_deploy.cli.measuring import Force, Plot
from resnas_deploy.cli.option_groups import with_groups
from resnas_deploy.cli.options import MAX_COUNT, Json, complete
from resnas_deploy.cli.output import complain, json_text, print_json, progress, save_results, say, show_table
from resnas_deploy.cli.words import spoken
from resnas_deploy.errors import called
from resnas_deploy.files.outputs import check_apart, check_new_file, write_text

latency = typer.Typer(
    name="latency",
    help="Predict the latency of networks from measured ones of their search space.\n\n"
    "Start with: resnas latency profile --space small",
    no_args_is_help=True,
)


@latency.command()
@with_groups
def profile(
    *,
    space: Space = "small",
    setup: SetupOptions,
    image_size: ImageSize = None,
    networks: Annotated[
        int | None,
        typer.Option(
            help="How many networks of the space to measure.", metavar="N", min=1, max=MAX_COUNT, show_default="120"
        ),
    ] = None,
    on: NodeOption = "",
    as_json: Json = False,
) -> None:
    """Measure networks of a search space, from which the latency of any other one of it can be predicted.

    It takes some minutes, once: whatever is measured is kept, and a profiling that was stopped goes on where it was.
    It needs no images: quantised networks (--precision int8 or fp8) have made-up steps, which no time hangs on.

    Examples:
    $ resnas latency profile --space small --runner ort-cpu --batch 1
    $ resnas latency profile --runner openvino --precision bf16 --batch 16
    $ resnas latency profile --precision int8 --image-size 280
    $ resnas latency profile --on ray:jetson@10.0.0.1:6379
    """
    with progress(spinner=False) as show:
        show("opening the store")
        model = resnas.latency.profile(
            space, image_size=image_size, networks=networks, on=on, progress=show, **setup.arguments()
        )
    for text in model.notes:
        complain(f"note: {text}")
    if as_json:
        print_json(model.to_json())
        return
    found, before = model.regression, model.regression.networks - model.measured_now
    minutes = model.seconds / 60
    say(f"{found.networks} networks of the space {space} ({before} were measured before), in {minutes:.1f} minutes")
    say(
        f"error on networks held out: {found.mape:.1%} on average, 95% within {found.spread:.1%}; "
        f"the anchor took {found.anchor_ms:.1f} ms"
    )
    if on:
        say(f"next: resnas search --supernet FILE --latency-of {model.setting.machine} --max-latency TIME ..")
        return
    same = (
        ({"image_size": image_size} if image_size else {})
        | model.setup.arguments()
        | ({"store": setup.store} if setup.store else {})
    )
    say(f"next: {spoken(called('latency.check', space=space, **same))}")
    say(f"  or: {spoken(called('latency.predict', arch='FILE', **same))}")


@latency.command()
@with_groups
def predict(
    arch: Annotated[
        list[str],
        typer.Option(
            help="tiny, small, medium, or a file: an architecture as JSON or a network_def; give it again for more.",
            metavar="NAME|FILE",
            show_default=False,
            autocompletion=complete(PUBLISHED),
        ),
    ],
    setup: SetupOptions,
    image_size: ImageSize = None,
    as_json: Json = False,
) -> None:
    """Predict latencies, with the interval that holds 95% of networks. Nothing is run.

    Examples:
    $ resnas latency predict --arch small --arch medium
    $ resnas latency predict --arch found.json --runner openvino --batch 16
    """
    with progress() as show:
        show("reading the store")
        found = resnas.latency.predict(arch, image_size=image_size, **setup.arguments())
    if as_json:
        print_json(found.to_json())
        return
    show_table(found.table())


@latency.command()
@with_groups
def check(
    *,
    space: Space = "small",
    setup: SetupOptions,
    image_size: ImageSize = None,
    subnets: Annotated[
        int, typer.Option(help="How many networks to check with.", metavar="N", min=2, max=MAX_COUNT)
    ] = 50,
    plot: Plot = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the JSON document here.", metavar="FILE", show_default=False)
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Measure random networks that the profile has not seen, twice, and compare with what was predicted for them.

    Beside the model stand lines through MACs and through parameters, fitted on
    the same profile, and the noise: how one measurement predicts the other.

    Examples:
    $ resnas latency check --space small --subnets 50 --plot check.html
    $ resnas latency check --runner openvino --precision bf16 --batch 16
    """
    check_apart(out=out, plot=plot)
    for path in filter(None, (plot, out)):
        check_new_file(path, replace=force, field="plot" if path is plot else "out")
    if plot:
        from resnas_deploy.measuring.plots import check_plot

        check_plot(plot, moving=True)
    with progress(spinner=False) as show:
        show("opening the store")
        found = resnas.latency.check(space, image_size=image_size, subnets=subnets, progress=show, **setup.arguments())
    for text in found.notes:
        complain(f"note: {text}")
    if as_json:
        print_json(found.to_json())
    else:
        show_table(found.table())
        say(f"{found.deviations.inside:.0%} lay within the predicted interval, which is meant to hold 95%")
    save_results(
        (out, lambda path: write_text(path, json_text(found.to_json()) + "\n", replace=force)),
        (plot, lambda path: found.plot(path, replace=force)),
        announce=not as_json,
    )
    if found.unsaved:
        raise found.unsaved


for carrying in (machines, pack, unpack):
    latency.command()(carrying)
