"""What the commands that measure share: their options, what these mean, and how results are shown."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.options import RUNNER_NAMES, complete
from resnas_deploy.cli.output import complain, print_table
from resnas_deploy.errors import BadInput, shown, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from resnas_deploy.artifact.artifact import Artifact
    from resnas_deploy.measuring.measurement import Measurement
    from resnas_deploy.measuring.report import Report
    from resnas_deploy.runners.base import Network, RunnerKind

_USUAL = (1, 8, 32)  # batch sizes
_OPENINGS = 6
MOST_NUMBERS = 100  # of an option that takes several
MOST_RUNS = 100_000  # which `bench.report` reads again

Runners = Annotated[
    list[str] | None,
    typer.Option(
        "--runner",
        help="A runtime; give it again for more.",
        metavar="NAME",
        show_default="the first that can run every precision",
        autocompletion=complete(RUNNER_NAMES),
    ),
]
Batches = Annotated[
    str,
    typer.Option(
        "--batch",
        help="Batch sizes, separated by commas.",
        metavar="N,N,..",
        show_default="those of 1,8,32 that every artifact takes",
    ),
]
Runs = Annotated[
    int,
    typer.Option(help="Timed runs of each configuration, over all openings.", metavar="N", max=MOST_RUNS),
]
Openings = Annotated[
    int | None,
    typer.Option(
        help="Times that every runtime is opened anew.",
        metavar="N",
        max=MOST_RUNS,
        show_default=f"{_OPENINGS}, or as many as --runs where that is fewer",
    ),
]
CudaGraph = Annotated[
    bool, typer.Option("--cuda-graph", metavar="", help="On a GPU: capture the network once and replay it.")
]
Plot = Annotated[
    Path | None, typer.Option(help="Draw it into this file: .png, .svg or .html.", metavar="FILE", show_default=False)
]
Force = Annotated[
    bool, typer.Option("--force", metavar="", help="Replace the files of --out and --plot that are there.")
]


def open_artifacts(folders: Sequence[Path]) -> tuple[Artifact, ...]:
    """The artifacts, each with its files checked."""
    from resnas_deploy.artifact.artifact import open_artifact

    return tuple(open_artifact(folder) for folder in folders)


@contextmanager
def open_networks(
    folders: Sequence[Path], peers: Sequence[str], tell: Callable[[str], None]
) -> Iterator[tuple[Network, ...]]:
    """Artifacts, and peers in the first artifact's precision, or in fp32 where there is none."""
    from resnas_deploy.measuring.peers import open_peer

    artifacts = open_artifacts(folders)
    precision = artifacts[0].precision if artifacts else "fp32"
    with ExitStack() as stack:
        yield (*artifacts, *(stack.enter_context(open_peer(name, precision, tell)) for name in dict.fromkeys(peers)))


def kinds_of(names: Sequence[str] | None, networks: Sequence[Network], device: str = "") -> tuple[RunnerKind, ...]:
    """The runners of these names, or the first that can run every network."""
    from resnas_deploy.runners.registry import default_runner, runner_kind

    found = tuple(runner_kind(name) for name in dict.fromkeys(names or ()))
    return found or (default_runner(*(network.precision for network in networks), device=device),)


def openings_of(openings: int | None, runs: int, least: int = 1) -> int:
    """The openings of an option, or the usual ones. Raises `BadInput` for fewer than `least`, which a verdict needs."""
    found = min(_OPENINGS, runs) if openings is None else openings
    if 0 < found < least:
        raise BadInput(
            f"openings must be at least {least} for an interval, found {found}; give more runs or --openings"
        )
    return found


def batches_of(text: str, networks: Sequence[Network]) -> tuple[int, ...]:
    """The batch sizes of an option, or the usual ones that every network takes, or the smallest of the first one's."""
    if text:
        return numbers(text, "--batch", "batch sizes such as 1,8,32")
    ranges = [network.batch for network in networks]
    usual = tuple(size for size in _USUAL if all(size in batches for batches in ranges))
    return usual or (ranges[0].least,)


def numbers(text: str, option: str, what: str) -> tuple[int, ...]:
    """Whole numbers above 0, separated by commas."""
    found = [whole_number(part.strip()) or 0 for part in text.split(",")]
    if 0 in found or len(found) > MOST_NUMBERS:
        raise BadInput(f"{option} must be {what}, found {shown(text)}")
    return tuple(dict.fromkeys(found))


def print_measurements(title: str, report: Report) -> None:
    """The table of what was measured, and what must be known with it."""
    measured = report.measurements
    columns = ["artifact", "what", "runner", "computes", "batch"]
    streams = any(item.configuration.streams > 1 for item in measured)
    latencies = len({item.configuration.latency for item in measured}) > 1
    columns += ["streams"] * streams + ["latency"] * latencies
    columns += ["p50 ms", "±", "p90 ms", "p99 ms", "images/s"]
    ceilings = any(item.of_ceiling is not None for item in measured)
    columns += ["of ceiling"] * ceilings
    energies = list(dict.fromkeys(energy.meter for item in measured for energy in item.energy))
    columns += [f"J/image, {meter}" for meter in energies]
    rows = []
    for item in measured:
        c = item.configuration
        row = [c.source, c.label, c.runner, c.computes or "-", str(c.batch)]
        row += [str(c.streams)] * streams + [c.latency] * latencies
        row += _figures(item)
        row += ["-" if item.of_ceiling is None else f"{item.of_ceiling:.0%}"] * ceilings
        joules = {energy.meter: f"{energy.joules_per_image:.3g}" for energy in item.energy}
        rows.append(row + [joules.get(meter, "-") for meter in energies])
    print_table(title, columns, rows, text_columns=4)
    for text in notes(report):
        complain(f"note: {text}")


def print_shares(report: Report) -> None:
    """The table of the share of time by kind of block, where a runtime could tell."""
    from resnas_deploy.measuring.extras import KINDS

    rows = [
        [c.label, c.runner, str(c.batch), *(f"{item.shares[kind]:.1%}" for kind in KINDS)]
        for item in report.measurements
        if item.shares and (c := item.configuration)
    ]
    if rows:
        print_table(
            "Share of time, by the runtime's own profile", ("what", "runner", "batch", *KINDS), rows, text_columns=2
        )


def notes(report: Report) -> list[str]:
    """What may have disturbed the measurement, or is not in it."""
    found = report.conditions.warnings()
    if unsettled := [str(item.configuration) for item in report.measurements if item.samples_s and not item.settled]:
        found.append(f"still not steady after the warm-up: {'; '.join(unsettled)}")
    limit = report.conditions.memory_limit
    if limit is not None and any(item.failure is not None for item in report.measurements):
        found.append(f"the control group allows {limit / 2**30:.1f} GiB of memory")
    if report.interrupted:
        found.append("interrupted: there is less than was asked for")
    return found


def _within(share: float) -> str:
    return f"{share:.1%}" if share < 1 else ">100%"  # of so few runs, on a busy machine, that they tell nothing


def _figures(item: Measurement) -> list[str]:
    if item.failure is not None or not item.figures:
        return [item.failure or "-", "-", "-", "-", "-"]
    figures = item.figures
    throughput = f"{figures.images_per_second:.1f}"
    if item.configuration.streams > 1:  # a sample is of several batches at once, no latency
        return ["-", "-", "-", "-", throughput]
    return [
        f"{figures.p50_ms:.1f}",
        _within(figures.repeats_within) if len(item.samples_s) > 1 else "-",  # one opening tells nothing of others
        f"{figures.p90_ms:.1f}",
        f"{figures.p99_ms:.1f}",
        throughput,
    ]
