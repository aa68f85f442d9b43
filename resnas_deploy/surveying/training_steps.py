"""The steps that time a supernet's training step: sliced, under masks, or compiled. The images are noise."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from resnas_deploy.images.crops import Choose
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.progress import Counted, Progress
from resnas_deploy.surveying.results import Outcome, TrainingTimes
from resnas_deploy.surveying.task import Task
from resnas_deploy.training.device import training_on
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.input.batches import Batch
from resnas_deploy.training.learner import Learner
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.run import TrainingRun
from resnas_deploy.weights.space_files import space_named

_RATE = 1e-4  # small, so that noise for images trains nothing to infinity
_SEED = 0


@dataclass(frozen=True)
class NoImages:
    """A data set that is not read: the batch is there already."""

    class_names: tuple[str, ...]

    @property
    def labels(self) -> NDArray[np.int64]:
        """No labels."""
        return np.zeros(0, np.int64)

    @property
    def chunks(self) -> list[NDArray[np.int64]]:
        """Nothing to read."""
        return []

    def name(self, index: int) -> str:
        return str(index)

    def image(self, index: int) -> Image.Image:
        """No image is here: raises `IndexError`."""
        raise IndexError(index)

    def crop(self, index: int, choose: Choose, side: int) -> Image.Image:
        """No image is here: raises `IndexError`."""
        raise IndexError(index)


def run(task: Task, progress: Progress) -> Outcome:
    """Make one step that compiles and warms up, and time those after it."""
    way, sizes = task.text("way"), task.sizes
    space, device = space_named(sizes.space), torch.device(task.device)
    recipe = Recipe(
        epochs=1,
        batch=sizes.training_batch,
        group=sizes.training_group,
        learning_rate=_RATE,
        warm_up_epochs=0,
        precision=sizes.training_precision,
    )
    recipe = replace(recipe, masked=way != "sliced", compile=way == "compiled")
    data = NoImages(tuple(str(number) for number in range(space.classes)))
    training = TrainingRun(
        arch=space.widest().full,
        space=space,
        recipe=recipe,
        data="noise",
        train=data,
        val=data,
        preprocessing=Preprocessing.for_image_size(space.image_size),
        seed=_SEED,
        folder=Path(task.folder),
    )
    side = space.image_size
    pixels = torch.randint(0, 256, (recipe.batch, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    if device.type == "cuda":
        pixels = pixels.pin_memory()  # as training has it
    batch = Batch(pixels, torch.arange(recipe.batch) % space.classes, ())
    with ending_with_us(), training_on(device, tf32=False):
        learner = Learner(training, Processes(Share(), device))
        progress(f"the first step, {way}")
        first = _seconds(learner, 0, batch, device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        samples = []
        for number in range(sizes.training_steps):
            text = f"step {number + 1} of {sizes.training_steps}"
            progress(Counted(text, number, sizes.training_steps, stage="steps"))
            samples.append(_seconds(learner, number + 1, batch, device))
    memory = int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else None
    return Outcome(
        training=TrainingTimes(
            way, space.name, recipe.batch, recipe.group, recipe.precision, tuple(samples), first, memory
        )
    )


def _seconds(learner: Learner, number: int, batch: Batch, device: torch.device) -> float:
    started = time.perf_counter()
    float(learner.learn(number, batch, _RATE, 1.0))  # which waits for the device
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # for the update, which comes after the loss
    return time.perf_counter() - started
