"""The course of the gate: what a baseline holds is opened, planned and measured again, and judged."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines.finding import AnyNetwork, foreign_part, open_network
from resnas_deploy.engines.store import SUFFIXES, engine_path, find
from resnas_deploy.errors import BadInput, called, shown
from resnas_deploy.measuring.cases import open_cases
from resnas_deploy.measuring.extras import Extras
from resnas_deploy.measuring.gate import ATTEMPTS, THRESHOLD, Gated, baseline_differences, comparison_key, judge
from resnas_deploy.measuring.machine.description import Machine, this_machine
from resnas_deploy.measuring.machine.memory import limited
from resnas_deploy.measuring.measure import device_of, measure
from resnas_deploy.measuring.measurement import Configuration
from resnas_deploy.measuring.peers import is_peer, opened_peer
from resnas_deploy.measuring.plan import Effort, Plan, Subject
from resnas_deploy.measuring.reference import reference_workload
from resnas_deploy.measuring.report import Report, read_report
from resnas_deploy.measuring.statistics import LEAST_OPENINGS
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import EngineFile, Network, usable_cores
from resnas_deploy.runners.devices import CPU
from resnas_deploy.runners.registry import runner_kind

Networks = Mapping[str, tuple[Network, EngineFile | None]]  # by label, with the engine that is named
_log = logging.getLogger(__name__)


def baseline_file(given: Path, machine: Machine) -> Path:
    """Return the baseline itself, or of a folder of them this machine's, whose name is the machine's slug.

    Where there is none of that name, one of the name is taken that the machine had before instruction sets were told.
    """
    if not given.is_dir():
        return given
    path = given / f"{machine.slug}.json"
    if not path.is_file() and (earlier := given / f"{machine.earlier_slug}.json").is_file():
        return earlier
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in given.glob("*.json"))) or "none"
        remedy = called("bench", artifacts="..", runs=120, openings=12, out=path)
        raise BadInput(f"{given} must hold a baseline of this machine, found {there}; make one by: {remedy}")
    return path


def configurations_of(report: Report, path: Path) -> list[Configuration]:
    """Return what a baseline has figures of. Raise `BadInput`, with its file, where that cannot be compared with."""
    found = [item.configuration for item in report.measurements if item.samples_s]
    if not found:
        raise BadInput(f"{path} must hold at least one measurement, found none; measure it again")
    if (openings := len(report.reference.samples_s)) < LEAST_OPENINGS:
        raise BadInput(f"{path} must be of at least {LEAST_OPENINGS} openings, found {openings}; measure it again")
    if twice := [item for item, count in Counter(map(comparison_key, found)).items() if count > 1]:
        name = next(str(item) for item in found if comparison_key(item) == twice[0])
        raise BadInput(
            f"{path} must hold each configuration once, found {name} again; give each artifact its own label"
        )
    return found


@contextmanager
def opened_networks(
    configurations: Sequence[Configuration], artifacts: Sequence[AnyNetwork], progress: Progress
) -> Iterator[Networks]:
    """Yield the networks of configurations, by label: those given, or where there are none, from their sources."""
    labels = dict.fromkeys(item.label for item in configurations)
    precisions = {item.source: item.precision for item in configurations}
    peers = [source for source in precisions if is_peer(source)]
    where = artifacts or [Path(source) for source in precisions if not is_peer(source)]
    with ExitStack() as stack:
        found: list[tuple[Network, EngineFile | None]] = [open_network(item) for item in where]
        runner = found[0][0].for_runner if found else ""  # as `beside_peers` has it
        found += [(stack.enter_context(opened_peer(name, precisions[name], progress, runner)), None) for name in peers]
        networks: dict[str, tuple[Network, EngineFile | None]] = {}
        for each in found:
            network = each[0]
            other, _ = networks.setdefault(network.label, each)
            if other is not network:
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


def compare_with_baseline(
    baseline: Path | Report,
    artifacts: Sequence[AnyNetwork],
    effort: Effort,
    *,
    runners: Sequence[str] = (),
    batches: Sequence[int] = (),
    threshold: float = THRESHOLD,
    accept_different: bool = False,
    progress: Progress = silent,
) -> Gated:
    """Measure again what a baseline holds: a report, its file, or a folder of such files, one for each machine.

    Of it only what ran on these `runners` at these `batches`, if any are given. The artifacts are those that it names,
    unless others are given. What looks slower is measured again before it counts. Ctrl-C ends it early. Raise
    `BadInput` for a baseline that cannot be compared with.
    """
    progress("reading the baseline")
    machine = this_machine(usable_cores())
    path = Path("the baseline") if isinstance(baseline, Report) else baseline_file(baseline, machine)
    whole = baseline if isinstance(baseline, Report) else read_report(path)
    wanted = _chosen(configurations_of(whole, path), runners, batches, path)
    then = replace(whole, measurements=tuple(item for item in whole.measurements if item.configuration in wanted))
    reports: list[Report] = []
    with opened_networks(wanted, artifacts, progress) as networks:
        progress("comparing the machine and the runtimes with the baseline's")
        differences = _differences(then, machine, plan_again(wanted, networks, effort))
        if differences and not accept_different:
            raise BadInput(
                f"{path} must be of this machine and these versions, found {'; '.join(differences)}; make a baseline "
                "here, or give `accept_different`"
            )

        changed = _other_graphs(wanted, networks)

        def measure_again(configurations: Sequence[Configuration]) -> Report:
            if reports:
                _log.info(
                    "measuring again what looks slower: %s (measurement %d of at most %d)",
                    "; ".join(map(str, configurations)),
                    len(reports) + 1,
                    ATTEMPTS,
                )
            reports.append(measure(plan_again(configurations, networks, effort), Extras(), progress))
            return reports[-1]

        changes = judge(then, measure_again, threshold)
    compared = {comparison_key(change.configuration) for change in changes}
    told = [note for report in reports for note in report.notes()] + [change.note for change in changes if change.note]
    return Gated(
        str(path),
        tuple(differences),
        tuple(changes),
        tuple(item for item in wanted if comparison_key(item) not in compared),
        tuple(dict.fromkeys([*_untold(then), *changed, *told])),
        reports[-1].interrupted,
        machine,
        _digest(whole),
        threshold,
    )


def plan_again(configurations: Sequence[Configuration], networks: Networks, effort: Effort) -> Plan:
    """Return the plan that measures these configurations again, on their own devices unless another is asked for.

    It may hold others too, where they are no full product; where their threads are no equal shares of one number, as
    those of settings that were searched, it holds them alone. The threads are the configurations'. The engines are the
    very ones, where the artifacts still have them; else they are found or built as for any measurement.
    """
    subjects = dict.fromkeys(map(_place, configurations))
    threads = min((item.threads + 1) * item.streams - 1 for item in configurations)  # of all their streams together
    plan = replace(effort, threads=threads).plan(
        [
            Subject(networks[label][0], runner_kind(runner).on(where), _engine(*networks[label], runner, engine))
            for label, runner, where, engine in subjects
        ],
        [item.batch for item in configurations],
        [item.streams for item in configurations],
        least_openings=LEAST_OPENINGS,
    )
    if all(max(1, threads // item.streams) == item.threads for item in configurations):
        return plan
    numbers = {subject: number for number, subject in enumerate(subjects)}
    return replace(plan, chosen=tuple((numbers[_place(item)], item.setting) for item in configurations))


def _chosen(
    found: list[Configuration], runners: Sequence[str], batches: Sequence[int], path: Path
) -> list[Configuration]:
    """Return those of some runners and batches. Raise `BadInput` where one of either is in none of them."""
    for field, asked, there in (
        ("runners", runners, [item.runner for item in found]),
        ("batches", batches, [item.batch for item in found]),
    ):
        if foreign := [each for each in asked if each not in there]:
            known = ", ".join(map(str, dict.fromkeys(there)))
            raise BadInput(f"`{field}` must be of those in {path} ({known}), found {foreign[0]}; make a new baseline")
    chosen = [
        item for item in found if (not runners or item.runner in runners) and (not batches or item.batch in batches)
    ]
    if not chosen:
        raise BadInput(f"{path} must hold something of these `runners` at these `batches`, found nothing")
    return chosen


def _digest(report: Report) -> str:
    """Return the same for the same baseline, whatever its file is called."""
    return hashlib.sha256(json.dumps(report.to_json(), sort_keys=True).encode()).hexdigest()


def _place(item: Configuration) -> tuple[str, str, str, str]:
    return item.label, item.runner, item.place, item.engine


def _other_graphs(configurations: Sequence[Configuration], networks: Networks) -> list[str]:
    """Say of which networks the graph is another than in the baseline, peers aside: they are traced anew each time."""
    then = {item.label: item.digest for item in configurations if not is_peer(item.source)}
    return [
        f"{networks[label][0].source} has another graph than in the baseline: sha256 {digest[:12]} there, "
        f"{networks[label][0].digest[:12]} here"
        for label, digest in then.items()
        if networks[label][0].digest != digest
    ]


def _untold(then: Report) -> list[str]:
    told = then.machine.instructions
    return [] if told else ["the baseline does not tell its CPU's instruction set, which may have been another"]


def _engine(network: Network, named: EngineFile | None, runner: str, engine: str) -> EngineFile | None:
    """Return the engine that is to be measured again: one that is named, or the one of before, if it is still there."""
    if named and named.made_of["target"] == runner:
        return named
    if engine and isinstance(network, Artifact):
        paths = (engine_path(network.folder, engine, suffix) for suffix in SUFFIXES)
        there = next(filter(None, map(find, paths)), None)
        return there if there and not foreign_part(there, network) else None
    return None


def configurations_here(plan: Plan) -> list[Configuration]:
    """Return what a plan's configurations are on this machine, with the runtimes' versions; nothing is timed."""
    with limited() if device_of(plan) == CPU else nullcontext(), ExitStack() as stack:
        return [ready.configuration for ready in open_cases(plan, frozenset(), stack)]


def _differences(then: Report, machine: Machine, plan: Plan) -> list[str]:
    with reference_workload(device_of(plan), machine.cores) as workload:
        return baseline_differences(then, machine, workload.name, configurations_here(plan))
