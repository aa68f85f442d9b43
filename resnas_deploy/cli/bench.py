"""`resnas bench`: latency and throughput of artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import resnas_deploy as resnas
from resnas_deploy.cli.measuring import (
    Batches,
    EffortOptions,
    Force,
    Plot,
    Runners,
    batch_sizes,
    numbers,
    show_notes,
)
from resnas_deploy.cli.option_groups import with_groups
from resnas_deploy.cli.options import EngineOption, Json, Threads, finite
from resnas_deploy.cli.output import print_json, progress, save_results, show_table
from resnas_deploy.files.outputs import check_apart, check_new_file
from resnas_deploy.measuring.throughput import AUTO
from resnas_deploy.processes import ending


@with_groups
def bench(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Artifact folders, engines in them (engines/ID.engine), or bare ONNX files.", show_default=False
        ),
    ] = None,
    runner: Runners = None,
    engine: EngineOption = "",
    batch: Batches = "",
    *,
    effort: EffortOptions,
    streams: Annotated[
        str,
        typer.Option(
            help="Sessions that run at once, for throughput: numbers separated by commas, which share the threads; "
            "or auto: find the sessions, their threads and the batch of most throughput.",
            metavar="N,N,..|auto",
        ),
    ] = "1",
    minutes: Annotated[
        float | None,
        typer.Option(
            help="With --streams auto: of the whole search.", metavar="MINUTES", callback=finite, show_default="2"
        ),
    ] = None,
    latency_limit: Annotated[
        float | None,
        typer.Option(
            help="With --streams auto: 99 of 100 batches of the best must stay within so many milliseconds.",
            metavar="MS",
            callback=finite,
            show_default="none",
        ),
    ] = None,
    peer: Annotated[
        str,
        typer.Option(
            help="Other networks to measure beside, separated by commas, at random weights: deit-base, ..",
            metavar="NAME,NAME,..",
            show_default=False,
        ),
    ] = "",
    threads: Threads = 0,
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
    """Time artifacts on runtimes at several batch sizes, all interleaved, so that drift of the machine hits all alike.

    A small reference workload is timed in every round. "±" is how far the median of another run, relative to that
    workload, will be from this one's in 19 of 20 cases. "of ceiling" is the least time that this machine could take
    (its measured matrix-product rate and memory bandwidth) over the median. Where the machine has energy counters, so
    has the table. A runner that loads engines takes the artifact's engine that is tuned for every batch, or builds it.

    Examples:
    $ resnas bench small-fp32
    $ resnas bench small-fp32 tiny-fp32 --runner ort-cpu --runner openvino
    $ resnas bench small-fp32 --batch 1,2,4,8 --plot latency.html
    $ resnas bench small-fp16/engines/*.engine --batch 1,8
    $ resnas bench small-fp16 --engine 3514cb55 --runner tensorrt --runner torch
    $ resnas bench small-fp32 --batch 16 --streams 1,2
    $ resnas bench mine.onnx small-fp32 --batch 1,8
    $ resnas bench small-fp32 --streams auto --out best.json
    $ resnas bench small-fp32 --streams auto --latency-limit 200 --minutes 5
    $ resnas bench small-fp32 --peer deit-small,deit-base --batch 16
    $ resnas bench small-fp32 --runs 200 --openings 10 --out baseline.json
    """
    auto = streams.strip() == AUTO
    check_apart(out=out, plot=plot)
    if out:
        check_new_file(out, replace=force)
    if plot:
        check_new_file(plot, replace=force, field="plot")
    with progress(spinner=False) as show:
        show("checking the files")
        from resnas_deploy.measuring.plots import check_plot

        if plot:
            check_plot(plot, moving=True)
        report = resnas.bench(
            artifacts or (),
            runners=runner or (),
            engine=engine,
            batches=batch_sizes(batch),
            **effort.arguments(),
            streams=AUTO if auto else numbers(streams, "--streams", f"numbers of sessions such as 1,2, or {AUTO}"),
            minutes=minutes,
            latency_limit=latency_limit,
            peers=[name.strip() for name in peer.split(",")] if peer else (),
            threads=threads,
            shares=shares or (plot is not None and not auto),
            progress=show,
        )
    if as_json:
        print_json(report.to_json())
    else:
        if (best := report.throughput_table()).rows:
            show_table(best)
        show_table(report.table())
        if (shared := report.shares_table()).rows:
            show_table(shared)
        show_notes(report.notes())
    # What took minutes is on the screen by now, whatever becomes of the files.
    save_results(
        (out, lambda path: report.save(path, force=force)),
        (plot, lambda path: report.plot(path, force=force)),
        announce=not as_json,
    )
    if report.interrupted:
        raise typer.Exit(ending.INTERRUPTED)
