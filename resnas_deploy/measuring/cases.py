"""Opens everything that a plan measures, once: the timed steps, or why there are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.batch import profile_for
from resnas_deploy.engines.build import with_engine
from resnas_deploy.engines.finding import Need, is_untuned, profiles_of, unusual_options
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.machine.memory import is_out_of_memory
from resnas_deploy.measuring.measurement import DEVICE, HOST, Configuration
from resnas_deploy.measuring.plan import Plan, Subject
from resnas_deploy.measuring.timing import Timed, timed
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import EngineFile, Images, Options, Runner

OUT_OF_MEMORY = "out of memory"
BATCHES = 4  # of each stream in one sample: the fewer, the more of the time passes while streams wait for each other

Step = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """One thing to time."""

    subject: int  # its number in the plan
    streams: int
    batch: int
    latency: str  # `HOST` or `DEVICE`


@dataclass(frozen=True)
class Ready:
    """A case that can be timed, or that does not fit into memory: then there is no step."""

    case: Case
    configuration: Configuration
    step: Timed | None


def open_cases(plan: Plan, without: Set[Case], stack: ExitStack, progress: Progress = silent) -> Iterator[Ready]:
    """Open every subject of the plan on `stack` and run every case of it once, but for those in `without`."""
    for number, subject in enumerate(plan.subjects):
        for streams in plan.streams:
            cases = [Case(number, streams, batch, HOST) for batch in plan.batches]
            wanted = [case for case in cases if case not in without]
            if wanted:
                progress(f"loading {subject.network.label} on {subject.kind.name}")
                yield from _open_subject(plan, subject, wanted, stack, progress)


def _open_subject(
    plan: Plan, subject: Subject, cases: list[Case], stack: ExitStack, progress: Progress
) -> Iterator[Ready]:
    streams, network = cases[0].streams, subject.network
    threads = max(1, plan.threads // streams)
    options = Options(
        threads,
        shares_cores=True,
        device=plan.device,
        cuda_graph=plan.cuda_graph,
        tf32=plan.tf32,
        engine=subject.engine,
    )
    if subject.kind.caches:
        options = replace(options, engine_cache=plan.engine_cache)
    runners: list[Runner] = []
    with _MemoryGuard() as loading:
        need = Need(plan.batches, tuned=True)
        options = with_engine(subject.kind, network, options, progress, need)
        runners = [stack.enter_context(subject.kind.open(network, options)) for _ in range(streams)]
    for case in cases:
        configuration = _configuration(subject, runners[0] if runners else None, case, threads)
        if options.engine:
            configuration = _with_engine(configuration, options.engine)
        steps: dict[str, Timed] = {}
        if not loading.failed:
            progress(f"first run of {network.label} on {subject.kind.name}, batch {case.batch}")
            with _MemoryGuard():
                steps = _steps(runners, noise(case.batch, network.image_size, input_named(network.input)), stack)
        yield Ready(case, configuration, steps.get(HOST))
        if on_device := steps.get(DEVICE):
            yield Ready(
                replace(case, latency=DEVICE),
                replace(configuration, latency=DEVICE, boundary=runners[0].device_boundary),
                on_device,
            )


class _MemoryGuard:
    """Pass over an error that says that memory ran out; `failed` tells whether there was one."""

    failed = False

    def __enter__(self) -> _MemoryGuard:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.failed = error is not None and is_out_of_memory(error)
        return self.failed


def _steps(runners: list[Runner], images: Images, stack: ExitStack) -> dict[str, Timed]:
    """Return the timed steps of one batch, run once: from host to host, and on a GPU on the device alone too."""
    ready = [runner.step(images) for runner in runners]
    for step in ready:
        step()
    if len(ready) > 1:
        together = Streams(ready)
        stack.callback(together.close)
        return {HOST: timed(together)}
    on_device = runners[0].device_step(images)
    return {HOST: timed(ready[0])} | ({DEVICE: on_device} if on_device else {})


def _configuration(subject: Subject, runner: Runner | None, case: Case, threads: int) -> Configuration:
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
        threads=threads,
        batch=case.batch,
        streams=case.streams,
        images=case.batch * (case.streams * BATCHES if case.streams > 1 else 1),
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
    """One thread a stream. Calling it runs `BATCHES` batches on each and waits for all."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._pool = ThreadPoolExecutor(len(steps), thread_name_prefix="stream")

    def __call__(self) -> None:
        list(self._pool.map(_run, self._steps))  # which raises what a stream raised

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _run(step: Step) -> None:
    for _ in range(BATCHES):
        step()
