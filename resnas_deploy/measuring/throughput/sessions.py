"""Sessions of one subject that stay open while settings of them are timed beside each other."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from resnas_deploy.arch.inputs import input_named
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.cases import Sessions as Opened
from resnas_deploy.measuring.cases import Streams, open_sessions
from resnas_deploy.measuring.plan import Plan, ThroughputSetting
from resnas_deploy.measuring.timing import Timed, timed
from resnas_deploy.progress import Progress

FEW_BATCHES = 2  # of each stream in one sample, where a plan that searches nothing has `BATCHES`
LONG_BATCH = 0.25  # seconds of a batch, from which one of each stream is a sample
Split = tuple[int, int]  # streams, and the threads of each


@dataclass
class Step:
    """A setting that can be timed."""

    images: int  # of one sample
    seconds: float  # of the first sample
    step: Timed
    streams: Streams | None  # None: one, whose samples are batches


@dataclass
class _OpenSplit:
    stack: ExitStack
    opened: Opened
    steps: dict[int, Step] = field(default_factory=dict)  # by batch


class Sessions:
    """The sessions that are open of a subject. A context manager."""

    def __init__(
        self, plan: Plan, number: int, progress: Progress, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._plan, self._number, self._progress, self._clock = plan, number, progress, clock
        self._open: dict[Split, _OpenSplit] = {}
        self.loading = 0.0  # seconds of one session

    def __enter__(self) -> Sessions:
        return self

    def __exit__(self, *error: object) -> None:
        for split in list(self._open):
            self.close(split)

    def is_open(self, split: Split) -> bool:
        """Whether nothing need be loaded for it."""
        return split in self._open

    def keep(self, *splits: Split) -> None:
        """Close all others, whose memory is free then."""
        for split in [each for each in self._open if each not in splits]:
            self.close(split)

    def close(self, split: Split) -> None:
        """Close the sessions of a split."""
        self._open.pop(split).stack.close()
        gc.collect()  # a runtime's memory goes back before others ask for as much

    def step(self, setting: ThroughputSetting, rate: float) -> Step:
        """Return what times a setting, once it has run. Raise what the runtime raises, of want of memory too.

        `rate` is about how many images it will run in a second.
        """
        split = setting.split
        if split not in self._open:
            with ExitStack() as stack:
                started = self._clock()
                opened = open_sessions(self._plan, self._number, *split, stack, self._progress)
                self.loading = (self._clock() - started) / setting.streams
                self._open[split] = _OpenSplit(stack.pop_all(), opened)
        there = self._open[split]
        if setting.batch not in there.steps:
            network = self._plan.subjects[self._number].network
            images = noise(setting.batch, network.image_size, input_named(network.input))
            steps = [runner.step(images) for runner in there.opened.runners]
            together = Streams(steps, batches_of(setting, rate), keeps=True) if len(steps) > 1 else None
            if together:
                there.stack.callback(together.close)
            step = timed(together or steps[0])
            there.steps[setting.batch] = Step(images_of(setting, rate), step(), step, together)
        return there.steps[setting.batch]


def batches_of(setting: ThroughputSetting, rate: float) -> int:
    """Return the batches of each stream in one sample, where about so many images are run in a second."""
    if setting.streams == 1:
        return 1
    return 1 if setting.streams * setting.batch > LONG_BATCH * rate else FEW_BATCHES


def images_of(setting: ThroughputSetting, rate: float) -> int:
    """Return the images of one sample."""
    return setting.batch * setting.streams * batches_of(setting, rate)
