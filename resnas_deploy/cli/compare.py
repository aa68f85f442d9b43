"""`resnas compare`: whether one artifact, or one runtime, is faster than another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.measuring import (
    Batches,
    CudaGraph,
    Openings,
    Runners,
    Runs,
    batches_of,
    kinds_of,
    notes,
    open_artifacts,
    openings_of,
)
from resnas_deploy.cli.options import DeviceOption, Json, Threads, threads_or_all
from resnas_deploy.cli.output import complain, print_json, progress, say
from resnas_deploy.errors import BadInput
from resnas_deploy.processes import ending

if TYPE_CHECKING:
    from resnas_deploy.measuring.compare import Comparison

MOST_ADVISED = 1000  # openings: beyond, nobody would wait for an answer


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="An artifact's folder.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another one, or the same.", show_default=False)],
    runner: Runners = None,
    batch: Batches = "1",
    runs: Runs = 60,
    openings: Openings = None,
    threads: Threads = 0,
    device: DeviceOption = "",
    cuda_graph: CudaGraph = False,
    as_json: Json = False,
) -> None:
    """Measure two artifacts in turns and say whether B is faster than A, slower, or whether the runs cannot tell.

    With two --runner the first runs A and the second runs B. The interval is of 95%, by the bootstrap over openings of
    the runtimes.

    Examples:
    $ resnas compare small-fp32 small-bf16 --runner openvino --batch 1,16
    $ resnas compare small-fp32 small-fp32 --runner ort-cpu --runner openvino
    """
    with progress(spinner=False) as tell:
        tell("checking the files")
        from resnas_deploy.measuring.compare import compare as compared
        from resnas_deploy.measuring.measure import Extras, measure
        from resnas_deploy.measuring.plan import Plan, Subject
        from resnas_deploy.measuring.statistics import LEAST_OPENINGS

        networks = open_artifacts((first, second))
        kinds = kinds_of(runner, networks, device)
        if len(kinds) > 2:
            raise BadInput(f"there must be one --runner, or one for A and one for B, found {len(kinds)}")
        plan = Plan(
            subjects=(Subject(networks[0], kinds[0]), Subject(networks[1], kinds[-1])),
            batches=batches_of(batch, networks),
            runs=runs,
            threads=threads_or_all(threads),
            openings=openings_of(openings, runs, LEAST_OPENINGS),
            device=device,
            cuda_graph=cuda_graph,
        )
        report = measure(plan, Extras(), tell)
    if not report.reference.samples_s:
        raise typer.Exit(ending.INTERRUPTED)
    found = compared(report.measurements)
    if as_json:
        print_json({"comparisons": [item.to_json() for item in found], "measured": report.to_json()})
    else:
        say(f"A: {networks[0].label} ({first}) on {kinds[0].name}")
        say(f"B: {networks[1].label} ({second}) on {kinds[-1].name}")
        for item in found:
            say(_sentence(item, runs))
        for lost in (item for item in report.measurements if item.failure is not None):
            say(f"{lost.configuration}: {lost.failure}")
        for text in notes(report):
            complain(f"note: {text}")
    if report.interrupted:
        raise typer.Exit(ending.INTERRUPTED)


def _sentence(item: Comparison, runs: int) -> str:
    """What was found at one batch size, in words."""
    from resnas_deploy.measuring.compare import CANNOT_TELL

    configuration, ratio = item.first.configuration, item.ratio
    where = f"batch {configuration.batch}, {configuration.latency}"
    times = f"A {item.first.percentile(50):.1f} ms, B {item.second.percentile(50):.1f} ms"
    found = f"B takes {ratio.value:.3f} of A's time ({ratio.low:.3f} to {ratio.high:.3f})"
    if item.verdict != CANNOT_TELL:
        return f"{where}: B is {item.verdict}. {times}; {found}"
    largest = max(ratio.high - 1, 1 - ratio.low)
    advice = f"if they differ at all, it is by less than {largest:.1%}"
    if (more := item.more_openings) is not None and more <= MOST_ADVISED:
        advice = f"about {more} more openings ({math.ceil(more * runs / item.openings)} runs) would tell; {advice}"
    return f"{where}: cannot tell. {times}; {found}; {advice}"
