"""A survey: step after step until there are none, or no time, and then the report of what there is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from resnas_deploy.errors import BadInput, NotAvailable, first_few, shown
from resnas_deploy.files.outputs import claiming
from resnas_deploy.processes import ending
from resnas_deploy.processes.elsewhere import require_linux
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.progress import Counted, Progress
from resnas_deploy.runners.devices import gpu_problem, is_gpu, parse_device
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.surveying.aims import aims_of, fastest
from resnas_deploy.surveying.identity import changes, this_identity
from resnas_deploy.surveying.kept import Kept
from resnas_deploy.surveying.page import page_of
from resnas_deploy.surveying.process import ended_well, run_step
from resnas_deploy.surveying.results import (
    DONE,
    FAILED,
    INTERRUPTED,
    LEFT_OUT,
    MISSING,
    NO_TIME,
    NOT_ASKED,
    SCHEMA,
    Handed,
    Here,
    Identity,
    Step,
    Survey,
)
from resnas_deploy.surveying.sizes import GPU, REHEARSAL, Sizes
from resnas_deploy.surveying.steps import BEST, COMPILING, HERE, PlannedStep, steps_of
from resnas_deploy.surveying.task import Task
from resnas_deploy.version import __version__

_LEAST_S = 20.0  # left, or a step's own limit where that is less: with less it is not begun
_LONG_S = 3600.0  # a limit within which a latency model's networks, a hundred of them, may each be compiled


@dataclass(frozen=True)
class Asked:
    """What is to be surveyed. Raises `BadInput`, `NotAvailable` where there is no such device."""

    out: Path
    minutes: float
    device: str
    tests: Path | None = None  # a checkout
    names: tuple[str, ...] = ()  # of steps, or patterns of them; (): all
    sizes: Sizes | None = None  # None: those of the device
    steps: tuple[PlannedStep, ...] | None = None  # None: those of the device
    device_id: str = field(init=False, default="")

    def __post_init__(self) -> None:
        found = parse_device(self.device)
        if found is None:
            raise BadInput(f"`device` must be cuda, cuda:N or cpu, found {shown(self.device)}")
        if problem := gpu_problem(found):
            raise NotAvailable(f"a GPU must be here to be measured, and {problem}; `device` cpu rehearses the report")
        if self.tests is not None and not (self.tests / "tests").is_dir():
            raise BadInput(f"`tests` must be a checkout of resnas, found no folder tests in {self.tests}")
        object.__setattr__(self, "device_id", found)
        planned = [step.name for step in self.planned]
        for name in self.names:
            if not any(fnmatchcase(each, name) for each in planned):
                raise BadInput(f"`steps` must name steps, or patterns of them, found {shown(name)}; {_known(planned)}")

    @property
    def measured(self) -> Sizes:
        """Return how much is measured of what."""
        return self.sizes or (GPU if is_gpu(self.device_id) else REHEARSAL)

    @property
    def planned(self) -> Sequence[PlannedStep]:
        """Return all steps."""
        if self.steps is not None:
            return self.steps
        return steps_of(self.measured, self.device_id, self.tests.absolute() if self.tests else None)

    def is_wanted(self, step: PlannedStep) -> bool:
        """Whether a step is to be run where it has not ended."""
        return not self.names or self.wants(step) or step.name == HERE

    def wants(self, step: PlannedStep) -> bool:
        """Whether a step is asked for by name."""
        return any(fnmatchcase(step.name, name) for name in self.names)


def _known(names: Sequence[str]) -> str:
    return f"there are {first_few(names, 8)}"


def survey(asked: Asked, progress: Progress) -> Survey:
    """Run the steps that are not done yet, and write and return the report.

    Ctrl-C ends it early, and the report says so. Raise `BadInput` where the folder is another's or in use,
    `StorageError` where it cannot be written; what was measured before that is kept.
    """
    require_linux("a report of a GPU")
    until = time.monotonic() + asked.minutes * 60
    with claiming(asked.out, resume=True, remedy="choose another `out`"), ending_with_us():
        kept = Kept(asked.out)
        before, identity = kept.before(), this_identity(asked.device_id, asked.measured)
        notes = []
        if before and before != identity:
            notes.append(f"measured again, since what is here has changed: {first_few(changes(before, identity))}")
        kept.begin(identity)
        run = _Run(asked, kept, identity, until, progress)
        interrupted = False
        try:
            run.all()
        except KeyboardInterrupt:
            ending.taken()
            interrupted = True
        found = _report(run, notes, interrupted)
        kept.finish(found, page_of(found).html())
        return found


@dataclass
class _Run:
    asked: Asked
    kept: Kept
    identity: Identity
    until: float  # by the monotonic clock
    progress: Progress
    steps: dict[str, Step] = field(default_factory=dict)  # as they ended, by name

    def all(self) -> None:
        """Take what is there, and run the rest in order."""
        for step in self.asked.planned:
            if not self.asked.wants(step) and (there := self.kept.step(step.name, self.identity)):
                self.steps[step.name] = there
        for step in self.asked.planned:
            if step.name not in self.steps and self.asked.is_wanted(step):
                self._one(step)

    def _one(self, step: PlannedStep) -> None:
        left, limit = self.until - time.monotonic(), step.limit(self.asked.minutes)
        if left < min(limit, _LEAST_S):
            return
        runner = self._runner(step, limit)
        if isinstance(runner, Step):
            self._keep(runner)
        if not isinstance(runner, str):
            return
        seconds = min(limit, left)
        text, seconds_all = f"{step.what}, {left / 60:.1f} minutes left", 60 * self.asked.minutes
        self.progress(Counted(text, seconds_all - left, seconds_all, stage="minutes", tells_left=True))
        task = Task(
            run=step.run,
            device=self.asked.device_id,
            folder=str(self.kept.work.absolute()),
            seconds=seconds,
            sizes=self.asked.measured,
            runner=runner,
            parameters=step.parameters,
        )
        ended = run_step(task, step.name)
        if seconds < limit and not ended.in_time:
            return  # nothing is wrong with it: there was no time
        self._keep(self._ended(step, ended.handed, ended.seconds), ended.log)

    def _keep(self, step: Step, log: str = "") -> None:
        self.kept.add(step, log)
        self.steps[step.name] = step

    def _ended(self, step: PlannedStep, handed: Handed, seconds: float) -> Step:
        status = handed.status if handed.status != DONE or ended_well(handed) else FAILED
        error = handed.error if status == handed.status else "it found nothing"
        return Step(
            name=step.name,
            what=step.what,
            status=status,
            seconds=seconds,
            identity=self.identity.digest,
            error=error,
            remedy=handed.remedy,
            found=handed.found if status == DONE else None,
        )

    def _runner(self, step: PlannedStep, limit: float) -> str | Step | None:
        """Return the runner for a step; None where none was measured yet; where it is missing, the step as it ended."""
        if step.runner == BEST:
            return self._best(step, limit) or None
        if found := self._problem(step.runner):
            problem, remedy = found
            error = f"the runner {step.runner} is not here: {problem}"
            return self._ended(step, Handed(MISSING, error, remedy), 0.0)
        return step.runner

    def _problem(self, runner: str) -> tuple[str, str | None] | None:
        here = self._here()
        if here is None or not runner or runner in here.runners:
            return None  # where nobody could look, the step will say
        absent = next((item for item in here.absent if item.name == runner), None)
        return (absent.problem, absent.install or None) if absent else ("it is not for this device", None)

    def _here(self) -> Here | None:
        step = self.steps.get(HERE)
        return step.found.here if step and step.found else None

    def _best(self, step: PlannedStep, limit: float) -> str:
        sizes, profiles = self.asked.measured, step.run.endswith("latency_model:run")

        def fits(name: str) -> bool:
            if not profiles:
                return True
            return not RUNNERS[name].engine and (name not in COMPILING or limit >= _LONG_S)

        timed = [item.found.timed for item in self.steps.values() if item.found and item.found.timed]
        way = fastest(
            timed,
            sizes.networks[0],
            sizes.precisions[0],
            sizes.batches[0],
            lambda item: not item.baseline and fits(item.runner),
        )
        return way[0].runner if way else ""


def _left_out(step: PlannedStep, why: str) -> Step:
    return Step(step.name, step.what, LEFT_OUT, 0.0, error=why)


def _report(run: _Run, notes: Sequence[str], interrupted: bool) -> Survey:
    why = INTERRUPTED if interrupted else NO_TIME
    steps = tuple(
        run.steps.get(step.name) or _left_out(step, why if run.asked.is_wanted(step) else NOT_ASKED)
        for step in run.asked.planned
    )
    rehearsal = not is_gpu(run.asked.device_id)
    found = Survey(
        schema=SCHEMA,
        version=__version__,
        identity=run.identity,
        rehearsal=rehearsal,
        interrupted=interrupted,
        notes=tuple(notes),
        aims=(),
        steps=steps,
    )
    return replace(found, aims=aims_of(found.done(), rehearsal=rehearsal))
