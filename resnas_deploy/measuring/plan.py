"""What is to be measured, and what is usual where nothing is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resnas_deploy.batch import profile_for
from resnas_deploy.engines.finding import runner_of
from resnas_deploy.engines.identity import check_holds, profiles_of
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.timing import WarmUp
from resnas_deploy.runners.base import EngineFile, Network, usable_cores
from resnas_deploy.runners.kind import CACHING, RunnerKind
from resnas_deploy.runners.registry import default_runner, runner_kind
from resnas_deploy.runners.tf32 import may_have_float32

RUNS, OPENINGS = 60, 6
MOST_RUNS = 100_000  # of a configuration, over all openings
MOST_STREAMS = 64  # each of which holds the network's weights
BATCHES = 4  # of each stream in one sample: the fewer, the more of the time passes while streams wait for each other
_USUAL_BATCHES = (1, 8, 32)


@dataclass(frozen=True)
class Subject:
    """A network on a runner, with the engine of it that is measured, where one is named."""

    network: Network
    kind: RunnerKind
    engine: EngineFile | None = None  # none: the runner's, which is found or built


@dataclass(frozen=True)
class ThroughputSetting:
    """How a runtime is run for throughput."""

    streams: int  # sessions that run at once
    threads: int  # of the CPU, for each session
    batch: int  # images of one run

    @property
    def split(self) -> tuple[int, int]:
        """What is opened for it, whatever the batch: the streams, and the threads of each."""
        return self.streams, self.threads

    def __str__(self) -> str:
        streams, threads = ("" if number == 1 else "s" for number in (self.streams, self.threads))
        return f"{self.streams} stream{streams} of {self.threads} thread{threads}, batch {self.batch}"


@dataclass(frozen=True)
class Effort:
    """How much is timed, and with what of this machine."""

    runs: int = RUNS  # rounds, of all openings together
    openings: int | None = None  # of every runtime; None: `OPENINGS`, or as many as runs where that is fewer
    threads: int = 0  # of all streams together; 0: every core
    device: str = ""  # the runner's usual one where it is empty
    cuda_graph: bool = False  # on a GPU: capture the network once and replay it
    tf32: bool = False  # on a GPU: let float32 be rounded to TF32
    engine_cache: str = ""  # a folder in which the runner that can keeps what it builds

    def plan(
        self,
        subjects: Sequence[Subject],
        batches: Sequence[int] = (),
        streams: Sequence[int] = (1,),
        *,
        least_openings: int = 1,
    ) -> Plan:
        """Return the plan of so much. Raise `BadInput` or `NotAvailable` as `Plan` does, or for too few openings.

        Without batch sizes they are those of 1, 8 and 32 that every network takes, or the smallest that every one does.
        """
        openings = min(OPENINGS, self.runs) if self.openings is None else self.openings
        if 0 < openings < least_openings:
            raise BadInput(
                f"`openings` must be at least {least_openings} for an interval, found {openings}; "
                "give more `runs` or `openings`"
            )
        return Plan(
            subjects=tuple(subjects),
            batches=tuple(dict.fromkeys(batches)) or _usual(subjects),
            runs=self.runs,
            threads=self.threads or usable_cores(),
            openings=openings,
            streams=tuple(dict.fromkeys(streams)),
            device=self.device,
            cuda_graph=self.cuda_graph,
            tf32=self.tf32,
            engine_cache=self.engine_cache,
        )


@dataclass(frozen=True)
class Plan:
    """Every subject at every batch size, and with every number of streams. Raises `BadInput`, `NotAvailable`.

    The runtimes are opened several times over, since each opening is a little faster or slower for as long as it lives.
    """

    subjects: tuple[Subject, ...]
    batches: tuple[int, ...]
    runs: int  # rounds, of all openings together
    threads: int  # of all streams together
    openings: int
    streams: tuple[int, ...] = (1,)  # sessions of the runtime that run at once
    device: str = ""
    cuda_graph: bool = False
    tf32: bool = False
    engine_cache: str = ""
    chosen: tuple[tuple[int, ThroughputSetting], ...] = ()  # by subject, all that is measured; (): streams x batches
    each: int = BATCHES  # batches of each stream in one sample
    warm_up: WarmUp = field(default_factory=WarmUp)

    def __post_init__(self) -> None:
        counts = {"runs": self.runs, "openings": self.openings, "threads": self.threads}
        for name, value in counts.items():
            if value < 1:
                raise BadInput(f"`{name}` must be at least 1, found {value}")
        if wrong := [number for number in self.streams if not 1 <= number <= MOST_STREAMS]:
            raise BadInput(f"`streams` must be from 1 to {MOST_STREAMS}, found {wrong[0]}")
        if self.runs > MOST_RUNS:
            raise BadInput(f"`runs` must be at most {MOST_RUNS}, found {self.runs}")
        if self.runs < self.openings:
            raise BadInput(f"`runs` must be at least as many as `openings`, {self.openings}, found {self.runs}")
        for number, subject in enumerate(self.subjects):
            network, batches = subject.network, self.batches_of(number)
            for batch in batches:
                if batch not in network.batch:
                    raise BadInput(
                        f"{network.source}: the batch must lie in the graph's range {network.batch}, "
                        f"found {batch}; measure other sizes, or export with another range"
                    )
            if subject.engine:
                check_holds(subject.engine, batches)
            subject.kind.check_tf32(self.tf32, self.device)
            subject.kind.check(network.precision, self.device)
        if self.engine_cache and not any(subject.kind.caches for subject in self.subjects):
            found = ", ".join(dict.fromkeys(subject.kind.name for subject in self.subjects))
            raise BadInput(f"`engine_cache` must be for the runner {CACHING}, found {found}; leave it out")
        if self.tf32 and not any(may_have_float32(subject.network.precision) for subject in self.subjects):
            found = ", ".join(dict.fromkeys(subject.network.precision for subject in self.subjects))
            raise BadInput(f"`tf32` must come with something in float32, found {found}; leave it out")

    def batches_of(self, number: int) -> tuple[int, ...]:
        """Return the batch sizes of the subject of that number: where settings are chosen, those that it takes."""
        if not self.chosen:
            return self.batches
        return tuple(batch for batch in self.batches if batch in self.subjects[number].network.batch)

    def sessions(self, number: int) -> Mapping[tuple[int, int], list[int]]:
        """Return the batch sizes of the subject of that number by streams and the threads of each."""
        if not self.chosen:
            return {(streams, max(1, self.threads // streams)): list(self.batches) for streams in self.streams}
        found: dict[tuple[int, int], list[int]] = {}
        for subject, setting in self.chosen:
            if subject == number:
                found.setdefault(setting.split, []).append(setting.batch)
        return found

    def rounds(self, opening: int) -> int:
        """Return how many of the runs belong to an opening, the first of which is 0."""
        return self.runs // self.openings + (opening < self.runs % self.openings)


def subjects_for(
    networks: Sequence[tuple[Network, EngineFile | None]], names: Sequence[str], device: str = ""
) -> tuple[Subject, ...]:
    """Return each network on each of these runners, or on the first that can run every one; an engine on its own.

    An engine that is named runs on the runner that loads it, and only the network's others beside it. Raise `BadInput`
    where that is none of those that are named.
    """
    kinds: tuple[RunnerKind, ...] = ()
    if names or (plain := [network for network, engine in networks if engine is None]):
        kinds = runners_for(names, () if names else plain, device)
    found: dict[tuple[int, str, str], Subject] = {}
    for number, (network, engine) in enumerate(networks):
        own = runner_of(engine) if engine else None
        if engine and names and own not in kinds:
            runner_of(engine, kinds[0].name)  # which says so
        for kind in kinds if names or own is None else (own,):
            loaded = engine if kind == own else None
            # Two engines of one artifact are measured beside one run of each other runner.
            key = (number if loaded or engine is None else -1, network.source, kind.name)
            found[key] = Subject(network, kind, loaded)
    return tuple(found.values())


def _usual(subjects: Sequence[Subject]) -> tuple[int, ...]:
    return usual_batches([item.network for item in subjects], [item.engine for item in subjects if item.engine])


def runners_for(names: Sequence[str], networks: Sequence[Network], device: str = "") -> tuple[RunnerKind, ...]:
    """Return the runners of these names, or the first that can run every network. Raise `BadInput`, `NotAvailable`."""
    found = tuple(runner_kind(name, "`runners`") for name in dict.fromkeys(names))
    return found or (default_runner(*(network.precision for network in networks), device=device),)


def usual_batches(networks: Sequence[Network], engines: Sequence[EngineFile] = ()) -> tuple[int, ...]:
    """Return those of the usual sizes that every network and engine takes, or the smallest that every network does.

    Where they have no size in common it is the smallest of the first one, which a plan refuses. Of one engine alone
    that takes none of the usual ones, they are the sizes that it is tuned for.
    """
    ranges = [network.batch for network in networks]
    usual = tuple(size for size in _USUAL_BATCHES if all(size in batches for batches in ranges))
    for engine in engines:
        usual = tuple(size for size in usual if profile_for(profiles_of(engine.made_of), size))
    if not usual and engines:
        return tuple(sorted({profile.usual for profile in profiles_of(engines[0].made_of)}))
    least = max(batches.least for batches in ranges)
    return usual or ((least if all(least in batches for batches in ranges) else ranges[0].least),)
