"""`resnas bench`: latency and throughput of artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.options import RUNNER_NAMES, Json, Threads, check_file, complete, threads_or_all
from resnas_deploy.cli.output import print_json, print_table, progress, say, to_json
from resnas_deploy.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnas_deploy.artifact import Artifact

_USUAL = (1, 8, 32)  # batch sizes


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help="Artifact folders.", show_default=False)],
    runner: Annotated[
        list[str] | None,
        typer.Option(
            help="A runtime; give it again for more.",
            metavar="NAME",
            show_default="the first that can run every precision",
            autocompletion=complete(RUNNER_NAMES),
        ),
    ] = None,
    batch: Annotated[
        str,
        typer.Option(
            help="Batch sizes, separated by commas.",
            metavar="N,N,..",
            show_default="those of 1,8,32 that every artifact takes",
        ),
    ] = "",
    runs: Annotated[int, typer.Option(help="Timed steps of each configuration.", metavar="N")] = 50,
    warm_up: Annotated[int, typer.Option(help="Steps before them that do not count.", metavar="N")] = 5,
    threads: Threads = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write the JSON document, raw samples included, here.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Time artifacts on runtimes at several batch sizes, all in turns, so that drift of the machine hits all alike.

    Examples:
    $ resnas bench small-fp32
    $ resnas bench small-fp32 tiny-fp32 --runner ort-cpu --runner openvino
    $ resnas bench small-fp32 --batch 1,16 --out result.json
    """
    if out:
        check_file(out, replace=True)
    with progress(spinner=False) as tell:
        tell("checking the files")
        from resnas_deploy.artifact import open_artifact
        from resnas_deploy.atomic import atomic_file
        from resnas_deploy.bench.machine import this_machine
        from resnas_deploy.bench.measurement import report
        from resnas_deploy.bench.session import Plan, measure
        from resnas_deploy.runners.registry import default_runner, runner_kind

        opened = tuple(open_artifact(folder) for folder in artifacts)
        kinds = tuple(runner_kind(name) for name in dict.fromkeys(runner or ()))
        cores = threads_or_all(threads)
        plan = Plan(
            artifacts=opened,
            runners=kinds or (default_runner(*(artifact.manifest.precision for artifact in opened)),),
            batches=_sizes(batch) if batch else _usual_sizes(opened),
            runs=runs,
            warm_up=warm_up,
            threads=cores,
        )
        found = measure(plan, tell)
    document = report(this_machine(threads_or_all(0)), found)
    if out:
        with atomic_file(out) as partial:
            partial.write_text(to_json(document))
    if as_json:
        print_json(document)
        return
    print_table(
        f"Latency, host to host, {cores} threads, {runs} interleaved runs after {warm_up} of warm-up",
        ("artifact", "what", "runner", "computes", "batch", "p50 ms", "p90 ms", "p99 ms", "images/s"),
        [
            (
                item.artifact,
                item.label,
                item.runner,
                item.computes,
                str(item.batch),
                *(f"{item.percentile(percent):.1f}" for percent in (50, 90, 99)),
                f"{item.throughput:.1f}",
            )
            for item in found
        ],
        text_columns=4,
    )
    if out:
        say(f"raw samples: {out}")


def _usual_sizes(artifacts: Sequence[Artifact]) -> tuple[int, ...]:
    """The usual batch sizes that every artifact takes, or the smallest of the first one's."""
    ranges = [artifact.manifest.batch for artifact in artifacts]
    usual = tuple(size for size in _USUAL if all(size in batches for batches in ranges))
    return usual or (ranges[0].least,)


def _sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise BadInput(f"--batch must be batch sizes such as 1,8,32, found {text!r}")
    return tuple(dict.fromkeys(sizes))
