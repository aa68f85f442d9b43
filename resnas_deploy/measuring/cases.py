"""Opens everything that a plan measures, once: the timed steps, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.batch import profile_for
from resnas_deploy.engines.finding import Need
from resnas_deploy.engines.identity import is_untuned, profiles_of, unusual_options
from resnas_deploy.engines.opening import with_engine
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.machine.memory import is_out_of_memory
from resnas_deploy.measuring.measurement import DEVICE, HOST, Configuration
from resnas_deploy.measuring.plan import BATCHES, Plan, Subject
from resnas_deploy.measuring.timing import Timed, timed
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import EngineFile, Options, Runner

OUT_OF_MEMORY = "out of memory"

Step = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One thing to time."""

    subject: int  # its number in the plan
    streams: int
    batch: int
    threads: int  # of each stream
    latency: str  # `HOST` or `DEVICE`


@dataclass(frozen=True)
class Ready:
    """A case that can be timed, or that does not fit into memory: then there is no step."""

    case: Case
    configuration: Configuration
    step: Timed | None
    together: Streams | None = None  # what the step runs, where the batches of several streams are timed too


def open_cases(plan: Plan, without: Set[Case], stack: ExitStack, progress: Progress = silent) -> Iterator[Ready]:
    """Open every subject of the plan on `stack` and run every case of it once, but for those in `without`."""
    for number, subject in enumerate(plan.subjects):
        for (streams, threads), batches in plan.sessions(number).items():
            cases = [Case(number, streams, batch, threads, HOST) for batch in batches]
            wanted = [case for case in cases if case not in without]
            if wanted:
                progress(f"loading {subject.network.label} on {subject.kind.name}")
                yield from _open_subject(plan, wanted, stack, progress)


@dataclass(frozen=True)
class Sessions:
    """A subject's runners, one a stream, and how they were opened."""

    runners: tuple[Runner, ...]
    options: Options


def open_sessions(
    plan: Plan, number: int, streams: int, threads: int, stack: ExitStack, progress: Progress = silent
) -> Sessions:
    """Open the subject of that number as often as there are streams, each with so many threads, on `stack`."""
    subject = plan.subjects[number]
    options = replace(_options(plan, subject, threads), at_once=streams > 1)
    need = Need(plan.batches_of(number), tuned=True)
    options = with_engine(subject.kind, subject.network, options, progress, need)
    runners = tuple(stack.enter_context(subject.kind.open(subject.network, options)) for _ in range(streams))
    return Sessions(runners, options)


def _options(plan: Plan, subject: Subject, threads: int) -> Options:
    options = Options(
        threads,
        shares_cores=True,
        device=plan.device,
        cuda_graph=plan.cuda_graph,
        tf32=plan.tf32,
        engine=subject.engine,
    )
    return replace(options, engine_cache=plan.engine_cache) if subject.kind.caches else options


def _open_subject(plan: Plan, cases: list[Case], stack: ExitStack, progress: Progress) -> Iterator[Ready]:
    number, streams, threads = cases[0].subject, cases[0].streams, cases[0].threads
    subject = plan.subjects[number]
    network = subject.network
    sessions = Sessions((), _options(plan, subject, threads))
    with _MemoryGuard() as loading:
        sessions = open_sessions(plan, number, streams, threads, stack, progress)
    runners = sessions.runners
    for case in cases:
        configuration = _configuration(subject, runners[0] if runners else None, case, plan.each)
        if sessions.options.engine:
            configuration = _with_engine(configuration, sessions.options.engine)
        together: Streams | None = None
        steps: dict[str, Timed] = {}
        if not loading.failed:
            progress(f"first run of {network.label} on {subject.kind.name}, batch {case.batch}")
            with _MemoryGuard():
                images = noise(case.batch, network.image_size, input_named(network.input))
                ready = [runner.step(images) for runner in runners]
                if len(ready) > 1:
                    run_at_once(ready)
                    together = Streams(ready, plan.each, keeps=bool(plan.chosen))
                    stack.callback(together.close)
                    steps = {HOST: timed(together)}
                else:
                    ready[0]()
                    on_device = None if plan.chosen else runners[0].device_step(images)
                    steps = {HOST: timed(ready[0])} | ({DEVICE: on_device} if on_device else {})
        yield Ready(case, configuration, steps.get(HOST), together if plan.chosen else None)
        if device := steps.get(DEVICE):
            yield Ready(
                replace(case, latency=DEVICE),
                replace(configuration, latency=DEVICE, boundary=runners[0].device_boundary),
                device,
            )


class _MemoryGuard:
    """Pass over an error that says that memory ran out; `failed` tells whether there was one."""

    failed = False

    def __enter__(self) -> _MemoryGuard:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.failed = error is not None and is_out_of_memory(error)
        return self.failed


def run_at_once(steps: Sequence[Step]) -> None:
    """Run each once, in a thread of its own."""
    streams = Streams(steps, each=1)
    try:
        streams()
    finally:
        streams.close()


def _configuration(subject: Subject, runner: Runner | None, case: Case, each: int) -> Configuration:
    """Return what a case is; where the runner could not even be opened, some of that is not known."""
    network = subject.network
    return Configuration(
        source=network.source,
        label=network.label,
        digest=network.digest,
        precision=network.precision,
        runner=subject.kind.name,
        version=runner.version if runner else "",
        device=runner.device if runner else "",
        computes=runner.computes if runner else "",
        boundary=runner.boundary if runner else "",
        latency=case.latency,
        threads=case.threads,
        batch=case.batch,
        streams=case.streams,
        images=case.batch * (case.streams * each if case.streams > 1 else 1),
    )


def _with_engine(configuration: Configuration, engine: EngineFile) -> Configuration:
    """Return the configuration with the engine that runs its batch."""
    made = engine.made_of
    profile = None if is_untuned(made) else profile_for(profiles_of(made), configuration.batch)
    return replace(
        configuration,
        engine=engine.path.stem,
        profile=str(profile) if profile else "",
        built_with=unusual_options(made),
    )


class Streams:
    """One thread a stream. Calling it runs some batches on each, `BATCHES` as is usual, and waits for all."""

    def __init__(self, steps: Sequence[Step], each: int = BATCHES, *, keeps: bool = False) -> None:
        self._steps, self._each = tuple(steps), each
        self._pool = ThreadPoolExecutor(len(steps), thread_name_prefix="stream")
        self._keeps = keeps
        self.took: list[list[float]] = []  # with `keeps`: seconds of every batch, by call

    def __call__(self) -> None:
        found = list(self._pool.map(self._run, self._steps))  # which raises what a stream raised
        if self._keeps:
            self.took.append([seconds for stream in found for seconds in stream])

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _run(self, step: Step) -> list[float]:
        once = timed(step)
        return [once() for _ in range(self._each)]
