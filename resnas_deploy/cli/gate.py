"""`resnas gate`: whether anything has become slower than its baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnas_deploy.cli.measuring import CudaGraph, Openings, Runs, notes, openings_of
from resnas_deploy.cli.options import DeviceOption, Json, threads_or_all
from resnas_deploy.cli.output import complain, print_json, print_table, progress
from resnas_deploy.errors import BadInput, RegressionFound, first_few
from resnas_deploy.processes import ending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resnas_deploy.measuring.gate import Change
    from resnas_deploy.measuring.measurement import Configuration
    from resnas_deploy.measuring.plan import Plan
    from resnas_deploy.measuring.report import Report


def gate(
    artifacts: Annotated[
        list[Path] | None,
        typer.Argument(help="Artifact folders.", show_default="those that the baseline names"),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="What resnas bench --out wrote, or a folder of such files, one for each machine.",
            metavar="FILE|FOLDER",
            show_default=False,
        ),
    ] = None,
    runs: Runs = 60,
    openings: Openings = None,
    device: DeviceOption = "",
    cuda_graph: CudaGraph = False,
    accept_different: Annotated[
        bool,
        typer.Option(
            "--accept-different", metavar="", help="Compare with a baseline of another machine or other versions."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure again what a baseline holds, and end with exit code 4 where something has become slower.

    Both are taken relative to a reference workload that is timed in the same rounds, since a shared machine may be
    twice as slow minutes later. What looks slower is measured again before it counts. To make a baseline, or a new one:
    resnas bench ARTIFACT.. --runs 120 --openings 12 --out FILE

    Examples:
    $ resnas gate --baseline baseline.json
    $ resnas gate build/small-fp32 --baseline baselines/
    """
    if baseline is None:
        raise BadInput("there must be a --baseline, found none; make one by: resnas bench ARTIFACT.. --out FILE")
    with progress(spinner=False) as tell:
        tell("reading the baseline")
        from resnas_deploy.measuring.baseline import baseline_file, configurations_of, opened_networks, plan_of
        from resnas_deploy.measuring.gate import identity, judge
        from resnas_deploy.measuring.machine.description import this_machine
        from resnas_deploy.measuring.measure import Extras, measure
        from resnas_deploy.measuring.report import read_report
        from resnas_deploy.measuring.statistics import LEAST_OPENINGS

        path = baseline_file(baseline, this_machine(threads_or_all(0)))
        then = read_report(path)
        wanted = configurations_of(then, path)
        number = openings_of(openings, runs, LEAST_OPENINGS)
        reports: list[Report] = []
        with opened_networks(wanted, artifacts or (), tell) as networks:

            def planned(configurations: Sequence[Configuration]) -> Plan:
                return plan_of(configurations, networks, runs, number, device, cuda_graph)

            tell("comparing the machine and the runtimes with the baseline's")
            foreign = _check_comparable(then, planned(wanted), path, accept_different)

            def again(configurations: Sequence[Configuration]) -> Report:
                if reports:
                    complain(f"measuring again what looks slower: {'; '.join(map(str, configurations))}")
                reports.append(measure(planned(configurations), Extras(), tell))
                return reports[-1]

            changes = judge(then, again)
    regressed = [change for change in changes if change.regressed]
    if as_json:
        print_json(
            {
                "baseline": str(path),
                "differences": foreign,
                "regressed": bool(regressed),
                "changes": [change.to_json() for change in changes],
            }
        )
    else:
        _print(changes, path)
    for text in dict.fromkeys(text for report in reports for text in notes(report)):
        complain(f"note: {text}")
    if reports[-1].interrupted:
        raise typer.Exit(ending.INTERRUPTED)
    if regressed:
        worst = max(regressed, key=lambda change: change.ratio.value)
        raise RegressionFound(
            f"{len(regressed)} of {len(changes)} must not be slower than in {path}, found {worst.configuration} "
            f"{worst.ratio.value - 1:.1%} slower; make a new baseline if that is meant"
        )
    compared = {identity(change.configuration) for change in changes}
    if lost := [str(item) for item in wanted if identity(item) not in compared]:
        raise BadInput(
            f"everything in {path} must run here, found none of {first_few(lost)} (out of memory, or another device); "
            "make that possible, or make a new baseline"
        )


def _check_comparable(then: Report, plan: Plan, path: Path, accept_different: bool) -> list[str]:
    """What differs from the baseline beside the times. Raises `BadInput` unless that is accepted."""
    from resnas_deploy.measuring.baseline import configurations_here
    from resnas_deploy.measuring.gate import differences
    from resnas_deploy.measuring.machine.description import this_machine
    from resnas_deploy.measuring.measure import device_of
    from resnas_deploy.measuring.reference import reference_workload

    machine = this_machine(threads_or_all(0))
    with reference_workload(device_of(plan), machine.cores) as workload:
        found = differences(then, machine, workload.name, configurations_here(plan))
    if found and not accept_different:
        raise BadInput(
            f"{path} must be of this machine and these versions, found {'; '.join(found)}; make a baseline here, or "
            "give --accept-different"
        )
    for text in found:
        complain(f"note: different: {text}")
    return found


def _print(changes: Sequence[Change], path: Path) -> None:
    columns = ("baseline", "now", "now/baseline", "95% interval", "openings", "")
    streams = any(change.configuration.streams > 1 for change in changes)
    print_table(
        f"Time relative to the reference workload, beside {path}",
        ("what", "runner", "batch", *["streams"] * streams, "latency", *columns),
        [
            (
                change.configuration.label,
                change.configuration.runner,
                str(change.configuration.batch),
                *[str(change.configuration.streams)] * streams,
                change.configuration.latency,
                f"{change.then.value:.3f}",
                f"{change.now.value:.3f}",
                f"{change.ratio.value:.3f}",
                f"{change.ratio.low:.3f} to {change.ratio.high:.3f}",
                str(change.openings),
                change.verdict,
            )
            for change in changes
        ],
        text_columns=2,
    )
