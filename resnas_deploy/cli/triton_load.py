"""`resnas triton load`: what a server can take."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.options import Json
from resnas_deploy.cli.output import print_json, print_table, progress, say
from resnas_deploy.errors import BadInput, NotAvailable

if TYPE_CHECKING:
    from resnas_deploy.serving.address import Address
    from resnas_deploy.serving.capacity import Capacity, Plan
    from resnas_deploy.serving.load import Level, Load

_SHARES = (50, 90, 95, 99)  # percentiles that are shown
INSTALL = "pip install 'resnas[serve]'"


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
        str, typer.Option(help="Requests at once.", metavar="N,N,..", show_default="1,2,4,8 without --rate")
    ] = "",
    rate: Annotated[
        str, typer.Option(help="Requests a second, independent of the answers.", metavar="N,N,..", show_default="none")
    ] = "",
    batch: Annotated[int, typer.Option(help="Images of a request.", metavar="N", min=1)] = 1,
    seconds: Annotated[float, typer.Option(help="Of each level.", metavar="SECONDS", min=0.1)] = 5,
    p99: Annotated[
        float | None,
        typer.Option(
            help="Search the highest rate with p99 within this.", metavar="MS", min=0, show_default="no search"
        ),
    ] = None,
    plan: Annotated[
        float | None,
        typer.Option(
            help="With --p99: how many servers like this one so many requests a second need.",
            metavar="RPS",
            min=0,
            show_default="none",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the times between requests.", metavar="N", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Measure what a server can take: latency and throughput by concurrency and by rate, beside its own statistics.

    Examples:
    $ resnas triton load models --concurrency 1,8,32
    $ resnas triton load grpc://localhost:8001 --model clothes --rate 50,100,200
    $ resnas triton load models --p99 50 --plan 20000
    """
    check_extra()
    if plan is not None and p99 is None:
        raise BadInput("--plan must come with --p99, the limit that the servers are to keep, found none")
    from resnas_deploy.serving.levels import parse_levels

    levels = parse_levels(concurrency or ("" if rate or p99 else "1,2,4,8"), rate)
    with progress() as tell, _server_at(server, tell) as address:
        import numpy as np

        from resnas_deploy.serving.capacity import Limit, find_capacity
        from resnas_deploy.serving.capacity import plan as planned
        from resnas_deploy.serving.load import run_level
        from resnas_deploy.serving.target import find_target

        target, rng = find_target(address, model, batch), np.random.default_rng(seed)

        def run(level: Level) -> Load:
            tell(f"{level}, {seconds:g} s")
            return run_level(target, level, seconds, rng)

        loads = [run(level) for level in levels]
        capacity = find_capacity(run, Limit(99, p99), first=8) if p99 is not None else None
        needed = planned(capacity, plan) if capacity and plan else None
    if as_json:
        print_json(_load_json(loads, capacity, needed))
        return
    _print_loads([*loads, *(capacity.tried if capacity else ())])
    if capacity:
        say(f"{capacity.rate:.4g} requests/s with {capacity.limit}")
    if needed:
        say(f"{needed.rate:g} requests/s need {needed.servers} such servers, with a margin of {needed.margin:.0%}")


def check_extra() -> None:
    """Raise `NotAvailable` without the `serve` extra."""
    if importlib.util.find_spec("tritonclient") is None:
        raise NotAvailable("resnas triton needs the package tritonclient, which is not installed", INSTALL)


@contextmanager
def _server_at(server: str, tell: Callable[[str], None]) -> Iterator[Address]:
    """The running server of that address; or one that serves that folder until the block ends."""
    from resnas_deploy.serving.address import Address

    if not Path(server).is_dir():
        yield Address.parse(server)
        return
    from resnas_deploy.serving.server import Ports, Settings, serving

    with tempfile.TemporaryDirectory(prefix="resnas-log-") as folder:
        log = Path(folder) / "tritonserver.log"
        with serving(Path(server), Settings(Ports.free()), log, tell) as running:
            yield Address.parse(running.grpc)


def _load_json(loads: Sequence[Load], capacity: Capacity | None, needed: Plan | None) -> dict[str, object]:
    """The document of `--json`."""
    return {
        "levels": [_described(load) for load in loads],
        "capacity": capacity
        and {
            "limit": {"percentile": capacity.limit.percentile, "ms": capacity.limit.ms},
            "requests_per_second": capacity.rate,
            "tried": [_described(load) for load in capacity.tried],
        },
        "plan": needed and {"requests_per_second": needed.rate, "servers": needed.servers, "margin": needed.margin},
    }


def _described(load: Load) -> dict[str, object]:
    return {
        "concurrency": load.level.concurrency or None,
        "rate": load.level.rate or None,
        "protocol": load.protocol,
        "images_per_request": load.images,
        "seconds": load.seconds,
        "answers": len(load.latencies_s),
        "failures": len(load.failures),
        "first_failure": load.failures[0] if load.failures else None,
        "requests_per_second": load.requests_per_second,
        "latency_ms": {f"p{share}": load.percentile_ms(share) for share in _SHARES} if load.latencies_s else None,
        "server": {
            "queue_us": load.server.queue_us,
            "compute_us": load.server.compute_us,
            "inferences": load.server.inferences,
            "executions": load.server.executions,
            "executions_by_batch": {str(size): count for size, count in load.server.batches.items()},
        },
    }


def _print_loads(loads: Sequence[Load]) -> None:
    rows = [
        (
            str(load.level),
            f"{load.requests_per_second:.1f}",
            *(f"{load.percentile_ms(share):.1f}" for share in _SHARES),
            f"{load.server.queue_us / 1e3:.1f}",
            f"{load.server.compute_us / 1e3:.1f}",
            f"{load.server.mean_batch:.1f}",
            str(len(load.failures) or ""),
        )
        for load in loads
    ]
    columns = ("load", "answers/s", *(f"p{share} ms" for share in _SHARES), "queue ms", "compute ms", "batch", "failed")
    print_table("Latency as the client sees it; queue, compute and mean batch as the server does", columns, rows)
    if failures := [failure for load in loads for failure in load.failures]:
        say(f"the first failure: {failures[0]}")
