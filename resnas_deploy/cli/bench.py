"""`resnas bench`: latency and throughput of artifacts."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from resnas_deploy.cli.measuring import (
    Batches,
    CudaGraph,
    Force,
    Openings,
    Plot,
    Runners,
    Runs,
    batches_of,
    kinds_of,
    numbers,
    open_networks,
    openings_of,
    print_measurements,
    print_shares,
)
from resnas_deploy.cli.options import DeviceOption, Json, Threads, threads_or_all
from resnas_deploy.cli.output import complain, print_json, progress, save_results
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import check_file
from resnas_deploy.files.user_folders import cache_folder
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.processes import ending


def bench(
    artifacts: Annotated[list[Path] | None, typer.Argument(help="Artifact folders.", show_default=False)] = None,
    runner: Runners = None,
    batch: Batches = "",
    runs: Runs = 60,
    openings: Openings = None,
    streams: Annotated[
        str,
        typer.Option(
            help="Sessions that run at once, for throughput: numbers separated by commas. They share the threads.",
            metavar="N,N,..",
        ),
    ] = "1",
    peer: Annotated[
        str,
        typer.Option(
            help="Other networks to measure beside, separated by commas, at random weights: deit-base, ..",
            metavar="NAME,NAME,..",
            show_default=False,
        ),
    ] = "",
    threads: Threads = 0,
    device: DeviceOption = "",
    cuda_graph: CudaGraph = False,
    shares: Annotated[
        bool, typer.Option("--shares", metavar="", help="Show where the time goes, by kind of block.")
    ] = False,
    plot: Plot = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the JSON document, raw samples included, here.", metavar="FILE", show_default=False),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Time artifacts on runtimes at several batch sizes, all in turns, so that drift of the machine hits all alike.

    A small reference workload is timed in every round. "±" is how far the median of another run, relative to that
    workload, will be from this one's in 19 of 20 cases. "of ceiling" is the least time that this machine could take
    (its measured matrix-product rate and memory bandwidth) over the median. Where the machine has energy counters, so
    has the table.

    Examples:
    $ resnas bench small-fp32
    $ resnas bench small-fp32 tiny-fp32 --runner ort-cpu --runner openvino
    $ resnas bench small-fp32 --batch 1,2,4,8 --plot latency.svg
    $ resnas bench small-fp32 --batch 16 --streams 1,2
    $ resnas bench small-fp32 --peer deit-small,deit-base --batch 16
    $ resnas bench small-fp32 --runs 200 --openings 10 --out baseline.json
    """
    if not artifacts and not peer:
        raise BadInput("there must be something to measure, found no artifact; name folders, or give --peer")
    if out:
        check_file(out, replace=force)
    if plot:
        check_file(plot, replace=force, field="plot")
    with progress(spinner=False) as tell, ExitStack() as stack:
        tell("checking the files")
        from resnas_deploy.measuring.drawing import check_plot
        from resnas_deploy.measuring.measure import Extras, run
        from resnas_deploy.measuring.plan import Plan, Subject
        from resnas_deploy.measuring.plots import plot_report

        if plot:
            check_plot(plot)
        networks = stack.enter_context(
            open_networks(artifacts or (), [name.strip() for name in peer.split(",")] if peer else (), tell)
        )
        plan = Plan(
            subjects=tuple(
                Subject(network, kind) for network in networks for kind in kinds_of(runner, networks, device)
            ),
            batches=batches_of(batch, networks),
            runs=runs,
            threads=threads_or_all(threads),
            openings=openings_of(openings, runs),
            streams=numbers(streams, "--streams", "numbers of sessions such as 1,2"),
            device=device,
            cuda_graph=cuda_graph,
        )
        if (ceilings := cache_folder()) is None:
            complain("note: there is no home and no XDG_CACHE_HOME, so the machine's ceilings are measured each time")
            ceilings = stack.enter_context(scratch_folder("ceilings"))
        report = run(plan, Extras(energy=True, shares=shares or bool(plot), ceilings=ceilings, note=_note), tell)
    if as_json:
        print_json(report.to_json())
    else:
        print_measurements(f"{runs} interleaved runs in {plan.openings} openings, {plan.threads} threads", report)
        print_shares(report)
    # What took minutes is on the screen by now, whatever becomes of the files.
    save_results(
        (out, lambda path: report.write(path, replace=force)),
        (plot, lambda path: plot_report(report, path, replace=force)),
        tell=not as_json,
    )
    if report.interrupted:
        raise typer.Exit(ending.INTERRUPTED)


def _note(text: str) -> None:
    complain(f"note: {text}")
