"""`resnas triton load`: what a server can take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.cli.measuring import Force, Plot
from resnas_deploy.cli.options import MAX_SECONDS, MAX_SEED, Json, complete, finite
from resnas_deploy.cli.output import complain, json_text, print_json, progress, save_results, say, show_table
from resnas_deploy.errors import BadInput, shown, whole_number
from resnas_deploy.files.outputs import check_apart, check_new_file, write_text
from resnas_deploy.units import MILLISECONDS, parse_quantity

if TYPE_CHECKING:
    from resnas_deploy.api.triton import LoadTestResult

_PROTOCOLS = ("grpc", "http")
_RATES = {"": 1.0, "rps": 1.0}
_MILLISECONDS = MILLISECONDS | {"": 1.0}
_MOST = 1e10
Repository = Annotated[Path, typer.Argument(help="A model repository's folder.", show_default=False)]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="A file with the key of the server's closed protocols.", metavar="FILE", show_default="none"),
]


def load(
    server: Annotated[
        str,
        typer.Argument(
            help="A running server (grpc://HOST:PORT, http://HOST:PORT), or a repository to serve here.",
            metavar="URL|FOLDER",
            show_default=False,
        ),
    ],
    model: Annotated[str, typer.Option(help="The model to ask.", metavar="NAME", show_default="the only one")] = "",
    concurrency: Annotated[
        str, typer.Option(help="Requests at once.", metavar="N,N,..", show_default="1,2,4,8 without --rate and --p99")
    ] = "",
    rate: Annotated[
        str, typer.Option(help="Requests a second, independent of the answers.", metavar="N,N,..", show_default="none")
    ] = "",
    batch: Annotated[int, typer.Option(help="Images of a request.", metavar="N", min=1, max=MAX_BATCH)] = 1,
    protocol: Annotated[
        str,
        typer.Option(
            help="For a folder: how it is asked.",
            metavar="grpc|http|grpc,http",
            show_default="grpc",
            autocompletion=complete(_PROTOCOLS),
        ),
    ] = "",
    seconds: Annotated[
        float, typer.Option(help="Of each level.", metavar="SECONDS", min=0.1, max=MAX_SECONDS, callback=finite)
    ] = 5,
    p99: Annotated[
        str, typer.Option(help="Search the highest rate with p99 within this.", metavar="MS", show_default="no search")
    ] = "",
    plan: Annotated[
        str,
        typer.Option(
            help="With --p99: how many servers like this one so many requests a second need.",
            metavar="RPS",
            show_default="none",
        ),
    ] = "",
    key_file: KeyFile = None,
    seed: Annotated[int, typer.Option(help="Of the times between requests.", metavar="N", min=0, max=MAX_SEED)] = 0,
    plot: Plot = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the JSON document here.", metavar="FILE", show_default=False)
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Measure what a server can take: latency and throughput by concurrency and by rate, beside its own statistics.

    At a rate, latency counts from when a request was due: a server that falls behind does not look faster.

    Examples:
    $ resnas triton load models --concurrency 1,8,32 --protocol grpc,http
    $ resnas triton load grpc://localhost:8001 --model clothes --rate 50,100
    $ resnas triton load models --p99 50ms --plan 20000rps
    $ resnas triton load models --plot load.html --out load.json
    """
    concurrencies = [_count(text) for text in _parts(concurrency)]
    rates = [_quantity(text, _RATES, "--rate", "requests a second such as 50 or 50rps") for text in _parts(rate)]
    limit = _quantity(p99, _MILLISECONDS, "--p99", "a time such as 50ms or 0.05s") if p99 else None
    demand = _quantity(plan, _RATES, "--plan", "requests a second such as 50 or 50rps") if plan else None
    check_apart(out=out, plot=plot)
    if out:
        check_new_file(out, replace=force)
    if plot:
        from resnas_deploy.measuring.plots import check_plot

        check_new_file(plot, replace=force, field="plot")
        check_plot(plot)
    with progress() as show:
        found = resnas.triton.load(
            server,
            model=model,
            concurrencies=concurrencies,
            rates=rates,
            batch=batch,
            protocols=_parts(protocol),
            seconds=seconds,
            p99=limit,
            plan=demand,
            key_file=key_file,
            seed=seed,
            progress=show,
        )
    document = found.to_json()
    if as_json:
        print_json(document)
    else:
        _print(found)
    save_results(
        (out, lambda path: write_text(path, json_text(document) + "\n", replace=force)),
        (plot, lambda path: found.plot(path, force=force)),
        announce=not as_json,
    )
    found.check_complete()


def _parts(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _count(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise BadInput(f"--concurrency must be numbers such as 1,8,32, found {shown(text)}")
    return number


def _quantity(text: str, units: Mapping[str, float], option: str, wanted: str) -> float:
    found = parse_quantity(text, units)
    if found is None or not 0 < found <= _MOST:
        raise BadInput(f"{option} must be {wanted}, found {shown(text)}")
    return found


def _print(found: LoadTestResult) -> None:
    show_table(found.table())
    if failures := [failure for level in found.levels for failure in level.failures]:
        say(f"the first failure: {failures[0]}")
    for note in found.notes:
        complain(f"note: {note}")
    for protocol, capacity in found.capacities.items():
        say(f"{protocol}: {capacity}")
    for protocol, needed in found.servers.items():
        say(f"{protocol}: {needed}")
