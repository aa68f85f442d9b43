"""Measures a comparison part by part: each group of networks in each opening, so that drift is spread over all alike.

The networks of a runner and a precision are open together and timed round by round, in an order drawn anew, beside the
reference workload; where they do not fit into memory they are cut into several groups. Every group is opened in every
opening. Between groups it is the reference workload, the same in all, that they are compared by.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.artifact.written_for import ORT_CPU
from resnas_deploy.batch import MAX_BATCH, USUAL
from resnas_deploy.errors import BadInput
from resnas_deploy.files.outputs import claiming
from resnas_deploy.measuring.machine.conditions import watch
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.machine.memory import limited
from resnas_deploy.measuring.measure import first_gpu
from resnas_deploy.measuring.measurement import Measurement
from resnas_deploy.measuring.openings import MeasuredPlan, measure_openings
from resnas_deploy.measuring.peer_specs import PEERS, PeerSpec
from resnas_deploy.measuring.peers import INT8
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.reference import Workload, reference_workload
from resnas_deploy.measuring.report import Reference
from resnas_deploy.measuring.timing import WarmUp
from resnas_deploy.measuring.tradeoff.contenders import YOURS, Contender
from resnas_deploy.measuring.tradeoff.graphs import Graphs
from resnas_deploy.measuring.tradeoff.remaining import Remaining
from resnas_deploy.measuring.tradeoff.result import Asked, Group, Tradeoff, read_tradeoff
from resnas_deploy.precision import PRECISIONS
from resnas_deploy.processes import ending
from resnas_deploy.processes.resources import free_memory
from resnas_deploy.progress import Counted, Progress
from resnas_deploy.runners.base import Network, usable_cores
from resnas_deploy.runners.devices import is_gpu
from resnas_deploy.runners.registry import runner_kind

DOCUMENT, GRAPHS = "tradeoff.json", "graphs"
# Beside the first run of everything as it is opened: more would take longer than what counts, for a round takes half a
# minute.
WARM = WarmUp(window=1, tolerance=0.1, most=2)
_COPIES = 2.5  # of the weights in memory: the graph's, and what a runtime packs of them
_BESIDE = 150e6  # bytes of a network beside them: activations of a batch, and the runtime's own
_OF_FREE = 0.7  # of the free memory that networks may take
_REMEDY = "choose another `out`, or remove it"


@dataclass(frozen=True)
class Here:
    """What a comparison is measured with on this machine."""

    asked: Asked
    artifacts: Mapping[str, Artifact]  # by the names of their contenders
    out: Path
    specs: Mapping[str, PeerSpec]
    progress: Progress

    @property
    def graphs(self) -> Graphs:
        """The graphs of the published networks."""
        return Graphs(self.out / GRAPHS, USUAL.extended_to(max(self.asked.batches)), self.progress, self.specs)


def _check(asked: Asked, artifacts: Mapping[str, Artifact]) -> None:
    """Raise `BadInput` or `NotAvailable` before any work for what no plan could measure."""
    kinds = [runner_kind(name, "`runners`") for name in asked.runners]
    published = any(each.family != YOURS for each in asked.contenders)
    for kind in kinds if published else ():
        for precision in asked.precisions:
            kind.check(precision, asked.device)
    own: list[Subject] = []
    for artifact in artifacts.values():
        own += [Subject(artifact, kind) for kind in kinds if artifact.for_runner in ("", kind.name)]
        if artifact.for_runner and artifact.for_runner not in asked.runners:
            raise BadInput(
                f"{artifact.source} must be run by {artifact.for_runner}, which its graph is written for, found "
                f"`runners` {', '.join(asked.runners)}; give that one too"
            )
    if wrong := [batch for batch in asked.batches if not 1 <= batch <= MAX_BATCH]:
        raise BadInput(f"`batches` must be from 1 to {MAX_BATCH}, found {wrong[0]}")
    # Which says what else is wrong; the graphs of the published networks take whatever is asked for.
    Plan(tuple(own), asked.batches, asked.runs, asked.threads, asked.openings, device=asked.device)


def measure_tradeoff(
    asked: Asked,
    artifacts: Mapping[str, Artifact],
    out: Path,
    progress: Progress,
    finish: Callable[[Tradeoff], None],
    specs: Mapping[str, PeerSpec] = PEERS,
) -> Tradeoff:
    """Measure what is not measured yet, and write the document after each part. `finish` is called at the end.

    Ctrl-C ends it early: the part that it falls into is lost, and the same call goes on. Raise `BadInput` where the
    folder is another comparison's, or in use.
    """
    _check(asked, artifacts)
    here = Here(asked, artifacts, out, specs, progress)
    with claiming(out, resume=True, remedy=_REMEDY):
        found = _begun(here)
        try:
            found = _Run(here, found).all()
        except KeyboardInterrupt:
            ending.taken()
            found = replace(read_tradeoff(out / DOCUMENT) if (out / DOCUMENT).is_file() else found, interrupted=True)
        if any(group.openings for group in found.groups):
            found.write(out / DOCUMENT)
            finish(found)
        return found


def _begun(here: Here) -> Tradeoff:
    """Return what the folder has of the same comparison, or an empty one. Raise `BadInput` for anything else in it."""
    path = here.out / DOCUMENT
    machine = this_machine(usable_cores())
    if not path.is_file():
        if foreign := [each.name for each in here.out.iterdir() if each.name != GRAPHS and each.name[0] != "."]:
            raise BadInput(f"{here.out} must be empty, or a comparison's, found {foreign[0]} in it; {_REMEDY}")
        return Tradeoff(machine, here.asked, _groups(here), interrupted=False)
    try:
        found = read_tradeoff(path)
    except BadInput as error:
        raise BadInput(f"{error}; choose another `out`, or remove all but {GRAPHS} in it") from None
    if found.asked != here.asked:
        differ = "; ".join(here.asked.differences(found.asked))
        raise BadInput(f"{here.out} has a comparison of something else than what is asked for ({differ}); {_REMEDY}")
    if found.machine != machine:
        differ = "; ".join(machine.differences(found.machine))
        raise BadInput(f"{here.out} has a comparison of another machine ({differ}); {_REMEDY}")
    return replace(found, interrupted=False)


def _groups(here: Here) -> tuple[Group, ...]:
    """Return the groups, still without samples: of a runner and a precision, cut where memory would not do."""
    asked, free = here.asked, free_memory()
    precisions = [*asked.precisions, *(artifact.precision for artifact in here.artifacts.values())]
    found = []
    for runner in asked.runners:
        for precision in dict.fromkeys(precisions):
            members = [each for each in asked.contenders if _takes_part(each, runner, precision, here)]
            for part in cut(members, precision, None if is_gpu(runner_kind(runner).device(asked.device)) else free):
                found.append(Group(runner, precision, tuple(part), (), Reference("", ()), ()))
    return tuple(found)


def _takes_part(contender: Contender, runner: str, precision: str, here: Here) -> bool:
    if contender.name in here.artifacts:
        artifact = here.artifacts[contender.name]
        return artifact.precision == precision and artifact.for_runner in ("", runner)
    return precision in here.asked.precisions


def cut(members: Iterable[Contender], precision: str, free: int | None) -> list[list[str]]:
    """Cut the networks into as few groups as memory allows, in their order; None stands for as much as they want."""
    room = float("inf") if free is None else _OF_FREE * free
    parts: list[list[str]] = []
    used = 0.0
    for member in members:
        wanted = bytes_open(member, precision)
        if not parts or used + wanted > room:
            parts.append([])
            used = 0.0
        parts[-1].append(member.name)
        used += wanted
    return parts


def bytes_open(contender: Contender, precision: str) -> float:
    """Return about how many bytes a network takes while it is open."""
    return contender.parameters * PRECISIONS[precision].bytes * _COPIES + _BESIDE


def written_for(group: Group) -> str:
    """Return the runner that a group's published networks are written for alone, as an export is with `for_runner`.

    On OpenVINO all of them have the pairs that any runtime takes: attention's products in float32.
    """
    return group.runner if group.precision == INT8 and group.runner == ORT_CPU else ""


@dataclass
class _Run:
    here: Here
    found: Tradeoff
    networks: dict[tuple[str, str, str], Network] = field(default_factory=dict)  # hashed once

    def all(self) -> Tradeoff:
        """Measure every part that is missing, opening by opening."""
        asked, progress = self.here.asked, self.here.progress
        parts = [
            (number, place)
            for number in range(asked.openings)
            for place, group in enumerate(self.found.groups)
            if group.openings <= number
        ]
        if not parts:
            return self.found
        self._prepare()
        device = first_gpu(runner_kind(name).device(asked.device) for name in asked.runners)
        remaining = Remaining(len(parts), asked.runs / asked.openings)
        with reference_workload(device, usable_cores()) as workload:
            for done, (number, place) in enumerate(parts):
                self._part(place, number, workload, remaining.telling(done, progress))
                self.found.write(self.here.out / DOCUMENT)
        return self.found

    def _prepare(self) -> None:
        """Make the graphs that are missing, and tell what it will take."""
        wanted = [
            (self.found.contender(name), group.precision, written_for(group))
            for group in self.found.groups
            for name in group.networks
            if name not in self.here.artifacts
        ]
        wanted = list(dict.fromkeys(wanted))
        graphs = self.here.graphs
        missing = sum(graphs.missing(*each) for each in wanted)
        most = max(
            sum(bytes_open(self.found.contender(name), group.precision) for name in group.networks)
            for group in self.found.groups
        )
        for number, (contender, precision, runner) in enumerate(wanted):
            told = f"graph {number + 1} of {len(wanted)} ({missing} to make, up to a minute each; networks will take "
            told += f"about {most / 1e9:.1f} GB of memory at once)"
            self.here.progress(Counted(told, number, len(wanted), stage="graphs"))
            self.networks[contender.name, precision, runner] = graphs.network(contender, precision, runner)

    def _part(self, place: int, number: int, workload: Workload, progress: Progress) -> None:
        """Measure one group in one opening, and add what it gave."""
        group, asked = self.found.groups[place], self.here.asked
        kind = runner_kind(group.runner)
        failed = {item.configuration.source for item in group.measurements if item.failure}
        names = [name for name in group.networks if self.found.contender(name).source not in failed]
        plan = Plan(
            tuple(Subject(self._network(name, group), kind) for name in names),
            asked.batches,
            asked.runs,
            asked.threads,
            asked.openings,
            device=asked.device,
            warm_up=WARM,
        )
        since = watch()
        with limited():
            one = replace(plan, runs=plan.rounds(number), openings=1)
            measured = measure_openings(one, workload, np.random.default_rng(), progress)
        gc.collect()
        if measured.interrupted:
            raise KeyboardInterrupt
        groups = list(self.found.groups)
        groups[place] = replace(_added(group, measured, self.here.out), conditions=(*group.conditions, since()))
        self.found = replace(self.found, groups=tuple(groups))

    def _network(self, name: str, group: Group) -> Network:
        own = self.here.artifacts.get(name)
        return own or self.networks[name, group.precision, written_for(group)]


def _added(group: Group, measured: MeasuredPlan, out: Path) -> Group:
    """Return a group with an opening more. Raise `BadInput` where what ran is not what ran before."""
    before = {(m.configuration.source, m.configuration.batch, m.configuration.latency): m for m in group.measurements}
    found: list[Measurement] = []
    for item in measured.measurements:
        c = item.configuration
        earlier = before.pop((c.source, c.batch, c.latency), None)
        if earlier and not item.failure:
            if earlier.configuration != c:
                raise BadInput(
                    f"{out} has figures of {earlier.configuration} that was not set up as it is now "
                    f"(another version, or another graph); {_REMEDY}"
                )
            item = replace(
                item,
                samples_s=(*earlier.samples_s, *item.samples_s),
                warm_up=earlier.warm_up + item.warm_up,
                settled=earlier.settled and item.settled,
            )
        found.append(item)
    reference = Reference(measured.reference.name, (*group.reference.samples_s, *measured.reference.samples_s))
    if group.openings and group.reference.name != reference.name:
        raise BadInput(f"{out} was measured beside another reference workload; {_REMEDY}")
    kept = [item for item in before.values() if item.failure]
    return replace(group, reference=reference, measurements=(*found, *kept))
