"""What a baseline holds, to be measured again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from resnas_deploy.artifact import open_artifact
from resnas_deploy.bench.machine import Machine
from resnas_deploy.bench.measurement import Configuration
from resnas_deploy.bench.opening import open_cases
from resnas_deploy.bench.peers import PEERS, open_peer
from resnas_deploy.bench.plan import Plan, Subject
from resnas_deploy.bench.report import Report
from resnas_deploy.errors import BadInput
from resnas_deploy.runners.base import Network
from resnas_deploy.runners.registry import runner_kind

Networks = Mapping[str, Network]  # by label


def baseline_file(given: Path, machine: Machine) -> Path:
    """The baseline itself, or of a folder of them this machine's, whose name is the machine's slug."""
    if not given.is_dir():
        return given
    path = given / f"{machine.slug}.json"
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in given.glob("*.json"))) or "none"
        raise BadInput(
            f"{given} must hold a baseline of this machine, found {there}; make one by: "
            f"resnas bench ARTIFACT.. --runs 120 --openings 12 --out {path}"
        )
    return path


def configurations_of(report: Report) -> list[Configuration]:
    """What a report has figures of. Raises `BadInput` where that is nothing."""
    found = [item.configuration for item in report.measurements if item.samples_s]
    if not found:
        raise BadInput("a baseline must hold at least one measurement, found none; measure it again")
    return found


@contextmanager
def opened_networks(
    configurations: Sequence[Configuration], folders: Sequence[Path], tell: Callable[[str], None]
) -> Iterator[Networks]:
    """The networks of configurations, by label: out of `folders`, or where there are none, from their sources."""
    labels = dict.fromkeys(item.label for item in configurations)
    precisions = {item.source: item.precision for item in configurations}
    peers = [source for source in precisions if source in PEERS]
    where = folders or [Path(source) for source in precisions if source not in PEERS]
    with ExitStack() as stack:
        found: list[Network] = [open_artifact(folder) for folder in where]
        found += [stack.enter_context(open_peer(name, precisions[name], tell)) for name in peers]
        networks = {network.label: network for network in found}
        if missing := [label for label in labels if label not in networks]:
            raise BadInput(
                f"the artifacts must be those of the baseline, of which {missing[0]!r} is missing, found "
                f"{', '.join(map(repr, networks))}; name its folder, or make a new baseline"
            )
        yield networks


def plan_of(
    configurations: Sequence[Configuration], networks: Networks, runs: int, openings: int, device: str = ""
) -> Plan:
    """The plan that measures these configurations again. It may hold others too, where they are no full product."""
    subjects = dict.fromkeys((item.label, item.runner) for item in configurations)
    return Plan(
        subjects=tuple(Subject(networks[label], runner_kind(runner)) for label, runner in subjects),
        batches=tuple(dict.fromkeys(item.batch for item in configurations)),
        runs=runs,
        threads=max(item.threads * item.streams for item in configurations),
        openings=openings,
        streams=tuple(dict.fromkeys(item.streams for item in configurations)),
        device=device,
    )


def configurations_here(plan: Plan) -> list[Configuration]:
    """What a plan's configurations are on this machine, with the runtimes' versions; nothing is timed."""
    with ExitStack() as stack:
        return [ready.configuration for ready in open_cases(plan, frozenset(), stack)]
