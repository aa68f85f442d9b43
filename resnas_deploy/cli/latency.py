"""`resnas latency`: a model of what networks of a search space take on this machine, and how good it is."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.arch.published import PUBLISHED
from resnas_deploy.cli.latency_options import (
    Batch,
    Precision,
    Space,
    StoreOption,
    bench_and_setting,
    options_of,
    space_named,
    store_path,
)
from resnas_deploy.cli.measuring import Force, Plot
from resnas_deploy.cli.options import (
    MAX_COUNT,
    DeviceOption,
    Json,
    RunnerOption,
    Threads,
    complete,
    read_arch,
    threads_or_all,
)
from resnas_deploy.cli.output import complain, print_json, print_table, progress, save_results, say, to_json
from resnas_deploy.errors import BadInput, StorageError
from resnas_deploy.files.outputs import check_file, write_text

if TYPE_CHECKING:
    from resnas_deploy.measuring.latency.check import Accuracy, Check
    from resnas_deploy.measuring.latency.model import LatencyModel

latency = typer.Typer(
    name="latency",
    help="Predict the latency of networks from measured ones of their search space.\n\n"
    "Start with: resnas latency profile --space small",
    no_args_is_help=True,
)


@latency.command()
def profile(
    space: Space = "small",
    runner: RunnerOption = "",
    batch: Batch = 1,
    precision: Precision = "fp32",
    threads: Threads = 0,
    device: DeviceOption = "",
    networks: Annotated[
        int | None,
        typer.Option(
            help="How many networks of the space to measure.", metavar="N", min=1, max=MAX_COUNT, show_default="120"
        ),
    ] = None,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Measure networks of a search space, from which the latency of any other one of it can be predicted.

    It takes some minutes, once: whatever is measured is kept, and a profiling that was stopped goes on where it was.

    Examples:
    $ resnas latency profile --space small --runner ort-cpu --batch 1
    $ resnas latency profile --runner openvino --precision bf16 --batch 16
    """
    with progress(spinner=False) as tell:
        tell("opening the store")
        from resnas_deploy.measuring.latency.model import LEAST
        from resnas_deploy.measuring.latency.profile import NETWORKS, PROFILE, measure, profiled_model, subnets
        from resnas_deploy.measuring.latency.store import Store
        from resnas_deploy.measuring.machine.conditions import watch

        bench, setting = bench_and_setting(runner, precision, batch, threads, device)
        options = options_of(setting, threads, device, store)
        if networks is not None and networks < LEAST:
            raise BadInput(f"--networks must be {LEAST} or more, which a latency model needs, found {networks}")
        chosen = space_named(space)
        wanted = subnets(chosen, PROFILE, networks or NETWORKS)
        started = time.monotonic()
        with Store(store_path(store)) as kept, kept.measuring():
            before, since = len(kept.networks(setting, chosen.name, PROFILE)), watch()
            measure(kept, setting, chosen, bench, PROFILE, wanted, 0, tell)
            throttled = since().throttled()
            model = profiled_model(kept, setting, chosen, options)
        seconds = time.monotonic() - started
    for text in throttled:
        complain(f"note: {text}")
    if as_json:
        print_json(
            {
                "space": space,
                "setting": vars(setting),
                "networks": model.networks,
                "measured_now": model.networks - before,
                "seconds": seconds,
                "anchor_ms": model.anchor_ms,
                "mape": model.mape,
                "interval": model.spread,
            }
        )
        return
    say(
        f"{model.networks} networks of the space {space} ({before} were measured before), in {seconds / 60:.1f} minutes"
    )
    say(
        f"error on networks held out: {model.mape:.1%} on average, 95% within {model.spread:.1%}; "
        f"the anchor took {model.anchor_ms:.1f} ms"
    )
    say(f"next: resnas latency check --space {space}{options}")
    say(f"  or: resnas latency predict --arch FILE{options}")


@latency.command()
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
    runner: RunnerOption = "",
    batch: Batch = 1,
    precision: Precision = "fp32",
    threads: Threads = 0,
    device: DeviceOption = "",
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Predict latencies, with the interval that holds 95% of networks. Nothing is run.

    Examples:
    $ resnas latency predict --arch small --arch medium
    $ resnas latency predict --arch found.json --runner openvino --batch 16
    """
    archs = [read_arch(source) for source in arch]
    with progress() as tell:
        tell("reading the store")
        from resnas_deploy.arch.cost import macs
        from resnas_deploy.arch.space import SPACES
        from resnas_deploy.measuring.latency.profile import profiled_model
        from resnas_deploy.measuring.latency.store import Store

        _, setting = bench_and_setting(runner, precision, batch, threads, device)
        options = options_of(setting, threads, device, store)
        rows: list[tuple[str, str, int, float, float, float]] = []
        models: dict[str, LatencyModel] = {}
        with Store(store_path(store), create=False) as kept:
            for source, one in zip(arch, archs, strict=True):
                space = next((space for space in SPACES.values() if space.holds(one)), None)
                if space is None:
                    raise BadInput(
                        f"{source} must be a network of a search space ({', '.join(SPACES)}) at 224 pixels, found "
                        "another; measure it by: resnas export and resnas bench"
                    )
                if space.name not in models:
                    models[space.name] = profiled_model(kept, setting, space, options)
                found = models[space.name].predict([one])
                ms, low, high = (float(values[0]) for values in (found.ms, found.low, found.high))
                rows.append((source, space.name, macs(one), ms, low, high))
    if as_json:
        names = ("arch", "space", "macs", "ms", "low_ms", "high_ms")
        print_json({"setting": vars(setting), "predictions": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    print_table(
        f"Predicted for {setting.runner} ({setting.version}), {precision}, batch {batch}, {setting.threads} threads",
        ("architecture", "space", "GMACs", "ms", "95% interval"),
        [(n, s, f"{m / 1e9:.3f}", f"{ms:.1f}", f"{low:.1f} to {high:.1f}") for n, s, m, ms, low, high in rows],
        text_columns=2,
    )


@latency.command()
def check(
    space: Space = "small",
    runner: RunnerOption = "",
    batch: Batch = 1,
    precision: Precision = "fp32",
    threads: Threads = 0,
    device: DeviceOption = "",
    subnets: Annotated[
        int, typer.Option(help="How many networks to check with.", metavar="N", min=2, max=MAX_COUNT)
    ] = 50,
    store: StoreOption = None,
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
    $ resnas latency check --space small --subnets 50 --plot check.svg
    $ resnas latency check --runner openvino --precision bf16 --batch 16
    """
    for path in filter(None, (plot, out)):
        check_file(path, replace=force, field="plot" if path is plot else "out")
    with progress(spinner=False) as tell:
        tell("opening the store")
        from resnas_deploy.measuring.drawing import check_plot
        from resnas_deploy.measuring.latency.check import check as checked
        from resnas_deploy.measuring.latency.check import document_of
        from resnas_deploy.measuring.latency.profile import CHECK, PROFILE, measure, profiled_model
        from resnas_deploy.measuring.latency.profile import subnets as draw
        from resnas_deploy.measuring.latency.store import Store
        from resnas_deploy.measuring.machine.conditions import watch
        from resnas_deploy.measuring.machine.description import this_machine
        from resnas_deploy.measuring.plots import plot_check

        if plot:
            check_plot(plot)
        bench, setting = bench_and_setting(runner, precision, batch, threads, device)
        chosen = space_named(space)
        unsaved: list[StorageError] = []
        with Store(store_path(store), create=False) as kept:
            model = profiled_model(kept, setting, chosen, options_of(setting, threads, device, store))
            profiled = kept.networks(setting, chosen.name, PROFILE)
            wanted = draw(chosen, CHECK, subnets, without=[item.arch for item in profiled])
            since = watch()
            with kept.measuring():
                first, second = (measure(kept, setting, chosen, bench, CHECK, wanted, n, tell, unsaved) for n in (0, 1))
            throttled = since().throttled()
        found = checked(model, profiled, first, second)
        document = document_of(setting, chosen.name, this_machine(threads_or_all(0)), model, found)
    for text in throttled:
        complain(f"note: {text}")
    if as_json:
        print_json(document)
    else:
        _print_check(found, f"{space}, {setting.runner}, {precision}, batch {batch}")
    save_results(
        (out, lambda path: write_text(path, to_json(document) + "\n", replace=force)),
        (plot, lambda path: plot_check(found, setting, path, replace=force)),
        tell=not as_json,
    )
    if unsaved:
        raise unsaved[0]


def _print_check(found: Check, what: str) -> None:
    print_table(
        f"{len(found.networks)} networks that the profile has not seen, of the space {what}",
        ("predicted by", "MAPE", "worst", "Spearman", "Kendall"),
        [_row(item) for item in (*found.accuracies, found.noise)],
    )
    say(f"{found.inside:.0%} lay within the predicted interval, which is meant to hold 95%")


def _row(item: Accuracy) -> tuple[str, ...]:
    return (item.predictor, f"{item.mape:.2%}", f"{item.worst:.1%}", f"{item.spearman:.3f}", f"{item.kendall:.3f}")
