"""What a baseline holds, to be measured again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.measuring.cases import open_cases
from resnas_deploy.measuring.gate import identity
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.machine.memory import limited
from resnas_deploy.measuring.measure import device_of
from resnas_deploy.measuring.measurement import Configuration
from resnas_deploy.measuring.peers import PEERS, open_peer
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.report import Report
from resnas_deploy.measuring.statistics import LEAST_OPENINGS
from resnas_deploy.runners.base import Network
from resnas_deploy.runners.devices import CPU
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


def configurations_of(report: Report, path: Path) -> list[Configuration]:
    """What a baseline has figures of. Raises `BadInput`, which names its file, where that cannot be compared with."""
    found = [item.configuration for item in report.measurements if item.samples_s]
    if not found:
        raise BadInput(f"{path} must hold at least one measurement, found none; measure it again")
    if (openings := len(report.reference.samples_s)) < LEAST_OPENINGS:
        raise BadInput(f"{path} must be of at least {LEAST_OPENINGS} openings, found {openings}; measure it again")
    if twice := [item for item, count in Counter(map(identity, found)).items() if count > 1]:
        name = next(str(item) for item in found if identity(item) == twice[0])
        raise BadInput(
            f"{path} must hold each configuration once, found {name} again; give each artifact its own label"
        )
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
        networks: dict[str, Network] = {}
        for network in found:
            if (other := networks.setdefault(network.label, network)) is not network:
                raise BadInput(
                    f"the artifacts must have labels of their own, found {shown(network.label)} "
                    f"at {other.source} and {network.source}; name one of them"
                )
        if missing := [label for label in labels if label not in networks]:
            raise BadInput(
                f"the artifacts must be those of the baseline, of which {shown(missing[0])} is missing, found "
                f"{', '.join(map(repr, networks))}; name its folder, or make a new baseline"
            )
        yield networks


def plan_of(
    configurations: Sequence[Configuration],
    networks: Networks,
    runs: int,
    openings: int,
    device: str = "",
    cuda_graph: bool = False,
) -> Plan:
    """The plan that measures these configurations again, on their own devices unless another is asked for.

    It may hold others too, where they are no full product.
    """
    subjects = dict.fromkeys((item.label, item.runner, item.place) for item in configurations)
    return Plan(
        subjects=tuple(Subject(networks[label], runner_kind(runner).on(where)) for label, runner, where in subjects),
        batches=tuple(dict.fromkeys(item.batch for item in configurations)),
        runs=runs,
        threads=min((item.threads + 1) * item.streams - 1 for item in configurations),  # of all their streams together
        openings=openings,
        streams=tuple(dict.fromkeys(item.streams for item in configurations)),
        device=device,
        cuda_graph=cuda_graph,
    )


def configurations_here(plan: Plan) -> list[Configuration]:
    """What a plan's configurations are on this machine, with the runtimes' versions; nothing is timed."""
    with limited() if device_of(plan) == CPU else nullcontext(), ExitStack() as stack:
        return [ready.configuration for ready in open_cases(plan, frozenset(), stack)]
