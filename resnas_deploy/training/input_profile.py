"""What limits a run: how fast images come, or how fast the device learns from them. Both are measured alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, replace

import torch

from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.processes.resources import usable_cores
from resnas_deploy.progress import Counted, Progress, silent
from resnas_deploy.training.device import training_on
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.input.batches import BATCHES_AHEAD, PART, Batch, steps_per_epoch, training_batches
from resnas_deploy.training.input.image_workers import AHEAD
from resnas_deploy.training.learner import Learner
from resnas_deploy.training.masked_or_sliced import decided
from resnas_deploy.training.optimiser import learning_rate
from resnas_deploy.training.passes import check_parts
from resnas_deploy.training.run import TrainingRun

_SECONDS = 6.0  # of each part, after what warms it up
_LEAST, _MOST = 3, 1000  # steps of the device
_WARM_UP = 2  # steps: kernels are chosen, and compiled, in the first ones
_EPOCHS = 1_000_000  # so that the images do not end
_ENOUGH = 1.05  # times the other's speed: less is no difference


@dataclass(frozen=True)
class InputProfile:
    """Images a second over all processes, of the loader alone and of the device alone."""

    what: str  # is trained
    device: str
    processes: int
    workers: int  # of each process
    cores: int  # of this machine that may be used
    batch: int  # images of a step, over all processes
    loader_images_per_second: float
    device_images_per_second: float

    @property
    def limit(self) -> str:
        """Which of them is the slower one: the loader or the device."""
        return "loader" if self.loader_images_per_second < self.device_images_per_second else "device"

    @property
    def ratio(self) -> float:
        """How many times as fast the other one is."""
        low, high = sorted((self.loader_images_per_second, self.device_images_per_second))
        return high / low if low > 0 else math.inf

    @property
    def remedy(self) -> str:
        """What would help."""
        if self.ratio < _ENOUGH:
            return "they are as fast as each other"
        if self.limit == "device":
            needed = max(1, math.ceil(self.workers / self.ratio))
            fewer = f"; {needed} `workers` would do" if needed < self.workers else ""
            return f"a larger batch, or precision bf16 or compile in the recipe, may use the device better{fewer}"
        if self.workers < self.cores // self.processes:
            return f"give more `workers`, up to {self.cores // self.processes}: there are {self.cores} cores"
        return "all cores are at work: images of some 500 pixels a side, made beforehand, decode faster than large ones"

    def to_json(self) -> dict[str, object]:
        """Return what `resnas train supernet --profile-input --json` prints."""
        return asdict(self) | {"limit": self.limit, "ratio": self.ratio, "remedy": self.remedy}

    def __str__(self) -> str:
        made = f"{self.workers or 'no'} worker{'s' * (self.workers != 1)}"
        other = "loader" if self.limit == "device" else "device"
        each = f" in each of {self.processes} processes" if self.processes > 1 else ""
        return (
            f"loader: {self.loader_images_per_second:.0f} images/s, {made}{each}\n"
            f"device: {self.device_images_per_second:.0f} images/s, {self.what} on {self.device}, batch {self.batch}\n"
            f"the {self.limit} is the limit, the {other} is {self.ratio:.1f} times as fast; {self.remedy}"
        )


def profile_input(
    run: TrainingRun,
    processes: Processes,
    progress: Progress = silent,
    seconds: float = _SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> InputProfile:
    """Measure a run's loader and its device, each for some seconds. Nothing is trained, and nothing is written."""
    check_parts(run.recipe, processes.share.processes)
    told = progress if processes.first else silent
    told("measuring the loader: starting its workers")
    loader, batch = _loader(run, processes, told, seconds, clock)
    told("measuring the device: its first steps")
    with (
        ending_with_us() if run.recipe.compile else nullcontext(),  # as in `loop.train`
        training_on(processes.device, tf32=run.recipe.tf32),
    ):
        device = _device(decided(run, processes, silent), processes, batch, told, seconds, clock)
    rates = processes.total(torch.tensor([loader, device], dtype=torch.float64).to(processes.device)).tolist()
    share = processes.share
    return InputProfile(
        what=run.what,
        device=str(processes.device),
        processes=share.processes,
        workers=run.workers,
        cores=usable_cores(),
        batch=run.recipe.batch,
        loader_images_per_second=rates[0],
        device_images_per_second=rates[1],
    )


def _loader(
    run: TrainingRun, processes: Processes, told: Progress, seconds: float, clock: Callable[[], float]
) -> tuple[float, Batch]:
    """Return images a second of this process, while the others measure theirs, and a batch."""
    share, pin = processes.share, processes.pins
    endless = replace(run.recipe, epochs=_EPOCHS)
    batches = training_batches(
        run.train, endless, run.arch.image_size, run.seed, share=share, workers=run.workers, pin=pin
    )
    with closing(batches):
        made_ahead = BATCHES_AHEAD + math.ceil(run.workers * AHEAD * PART / endless.batch * share.processes)
        for _ in range(1 + (made_ahead if run.workers else 0)):  # what was made while nobody counted is not counted
            batch = next(batches)
        processes.wait()
        images, start = 0, clock()
        while (passed := clock() - start) < seconds:
            images += len(next(batches).labels)
            text = f"measuring the loader: {images} images in {passed:.0f} s"
            told(Counted(text, passed, seconds, stage="the loader"))
        rate = images / passed
    processes.wait()
    return rate, batch


def _device(
    run: TrainingRun, processes: Processes, batch: Batch, told: Progress, seconds: float, clock: Callable[[], float]
) -> float:
    """Return images a second of this process, by steps of the run on a batch in memory."""
    learner, steps = Learner(run, processes), steps_per_epoch(run.train, run.recipe)

    def learn(first: int, count: int) -> float:
        """Make some steps and return the seconds of one. All processes make as many."""
        start = clock()
        for step in range(first, first + count):
            loss = learner.learn(step, batch, learning_rate(run.recipe, 0, steps), 1.0)
            text = f"measuring the device: step {step - first + 1} of {count}"
            told(Counted(text, step - first + 1, count, stage="the device"))
        float(loss)  # the device has done all of them
        return (clock() - start) / count

    learn(0, _WARM_UP)
    one = processes.mean(torch.tensor(learn(_WARM_UP, 1), dtype=torch.float64).to(processes.device))
    count = max(_LEAST, min(_MOST, round(seconds / max(float(one), 1e-6))))
    return len(batch.labels) / learn(_WARM_UP + 1, count)
