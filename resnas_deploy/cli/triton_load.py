"""`resnas triton load`: what a server can take."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.cli.measuring import Force, Plot
from resnas_deploy.cli.options import MAX_SECONDS, MAX_SEED, Json, complete, finite
from resnas_deploy.cli.output import print_json, print_table, progress, save_results, say, to_json
from resnas_deploy.errors import BadInput, NotAvailable, shown
from resnas_deploy.files.outputs import check_new_file, write_text

if TYPE_CHECKING:
    from resnas_deploy.serving.load.level import LevelResult
    from resnas_deploy.serving.load.load_test import LoadTestResult
    from resnas_deploy.serving.server.access import OperatorKey
    from resnas_deploy.serving.server.addresses import Address

PROTOCOLS = ("grpc", "http")
LATE_MS = 5.0  # a load generator that is so late is told of
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
            autocompletion=complete(PROTOCOLS),
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
    check_extra()
    if plan and not p99:
        raise BadInput("--plan must come with --p99, the limit that the servers are to keep, found none")
    from resnas_deploy.measuring.plots import check_plot
    from resnas_deploy.serving.load.levels import parse_levels, parse_milliseconds, parse_rate

    levels = parse_levels(concurrency or ("" if rate or p99 else "1,2,4,8"), rate)
    limit_ms = parse_milliseconds(p99, "--p99") if p99 else None
    demand = parse_rate(plan, "--plan") if plan else None
    if out:
        check_new_file(out, replace=force)
    if plot:
        check_new_file(plot, replace=force, field="plot")
        check_plot(plot)
    with progress() as tell, _server_at(server, _protocols(server, protocol), tell) as addresses:
        from resnas_deploy.serving.load.asked_model import find_model
        from resnas_deploy.serving.load.load_test import LoadTest, sweep

        found = sweep(
            LoadTest(levels, seconds, limit_ms, demand),
            [find_model(address, model, batch, read_key(key_file)) for address in addresses],
            seed,
            tell,
        )
    document = found.to_json()
    if as_json:
        print_json(document)
    else:
        _print(found)

    def write_plot(path: Path) -> None:
        from resnas_deploy.serving.load.plots import plot_sweep

        plot_sweep(found, path, replace=force)

    save_results(
        (out, lambda path: write_text(path, to_json(document) + "\n", replace=force)),
        (plot, write_plot),
        tell=not as_json,
    )
    if gone := found.gone:
        raise BadInput(
            f"the server must answer until the end, found that it was gone at {gone.level} ({gone.protocol}) after "
            f"{len(gone.latencies_s)} answers: {gone.failures[0] if gone.failures else 'no statistics'}"
        )


def check_extra() -> None:
    """Raise `NotAvailable` without the `serve` extra."""
    if importlib.util.find_spec("tritonclient") is None:
        from resnas_deploy.serving.server.installed import INSTALL

        raise NotAvailable("resnas triton needs the package tritonclient, which is not installed", INSTALL)


def read_key(path: Path | None) -> OperatorKey | None:
    """The key in a file. Raises `BadInput`."""
    from resnas_deploy.serving.server.access import OperatorKey

    return OperatorKey.read(path) if path else None


def _protocols(server: str, text: str) -> tuple[str, ...]:
    """How a folder's server is asked; nothing for a running one, whose address says it."""
    if not Path(server).is_dir():
        if text:
            raise BadInput(f"--protocol must come with a folder: the address says it, found {server} and {text}")
        return ()
    chosen = tuple(dict.fromkeys(text.split(","))) if text else PROTOCOLS[:1]
    if not set(chosen) <= set(PROTOCOLS):
        raise BadInput(f"--protocol must be grpc, http, or grpc,http, found {shown(text)}")
    return chosen


@contextmanager
def _server_at(server: str, protocols: Sequence[str], tell: Callable[[str], None]) -> Iterator[list[Address]]:
    """The running server of that address; or one that serves that folder until the block ends, by protocol."""
    from resnas_deploy.serving.server.addresses import Address

    if not protocols:
        yield [Address.parse(server)]
        return
    from resnas_deploy.serving.server.addresses import Ports
    from resnas_deploy.serving.server.server import ServerSettings, running_server

    with running_server(Path(server), ServerSettings(Ports.free()), None, tell) as running:
        yield [Address.parse(f"{protocol}://{getattr(running, protocol)}") for protocol in protocols]


def _print(found: LoadTestResult) -> None:
    from resnas_deploy.serving.load.load_test import SHARES

    columns = ("load", "answers/s", *(f"p{share} ms" for share in SHARES), "queue ms", "compute ms", "batch", "failed")
    print_table(
        "Latency as the client sees it; queue, compute and mean batch as the server does",
        columns,
        [_row(load) for load in found.loads],
    )
    if failures := [failure for load in found.loads for failure in load.failures]:
        say(f"the first failure: {failures[0]}")
    if found.cached:
        say("note: the model has a response cache, so this is how fast the cache is; export it without --cache")
    if late := [load for load in found.loads if load.late_ms > LATE_MS]:
        say(
            f"note: the load generator was behind at {late[0].level}: requests left up to {late[0].late_ms:.0f} ms late"
        )
    for protocol, capacity in found.capacities.items():
        if capacity.rate:
            say(f"{protocol}: {capacity.rate:.4g} requests/s with {capacity.limit}")
        else:
            say(f"{protocol}: {capacity.limit} holds at no rate, not even {capacity.broken:g} requests/s")
    for protocol, needed in found.plans.items():
        say(
            f"{protocol}: {needed.rate:g} requests/s need {needed.servers} such servers, "
            f"with a margin of {needed.margin:.0%}"
        )


def _row(load: LevelResult) -> tuple[str, ...]:
    from resnas_deploy.serving.load.load_test import SHARES

    server = load.server
    return (
        f"{load.level}, {load.protocol}",
        f"{load.requests_per_second:.1f}",
        *(f"{load.percentile_ms(share):.1f}" if load.latencies_s else "" for share in SHARES),
        *((f"{server.queue_us / 1e3:.1f}", f"{server.compute_us / 1e3:.1f}") if server else ("", "")),
        f"{server.mean_batch:.1f}" if server else "",
        str(len(load.failures) or ""),
    )
