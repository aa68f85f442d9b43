"""Prints the seconds of training steps, for `training_steps.py`, by whichever code PYTHONPATH has: today's or before's.

The training loop itself runs, on batches that are there already; the time from one to the next is a step's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.progress import silent
from resnas_deploy.training import loop
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.evaluate import ValidationAccuracy
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.run import TrainingRun

try:
    from resnas_deploy.weights.space_files import packaged_spaces
except ModuleNotFoundError:  # before there were files of spaces

    def packaged_spaces() -> dict[str, SearchSpace]:  # the other checkout has none
        from resnas_deploy.arch.space import SPACES

        return SPACES


try:
    from resnas_deploy.training.input.batches import Batch
except ModuleNotFoundError:  # before
    from resnas_deploy.training.batches import Batch  # the other checkout's

WARM_UP = 5  # steps


@dataclass(frozen=True)
class Unread:
    """Labels of images that nobody reads."""

    count: int
    class_names: tuple[str, ...]

    @property
    def labels(self) -> np.ndarray:
        return np.arange(self.count) % len(self.class_names)

    @property
    def chunks(self) -> list[np.ndarray]:
        return [np.arange(self.count)]


def without_channels(space: SearchSpace) -> SearchSpace:
    """Return a space of as many questions, blocks and tensors, with next to no channels."""
    size = {"head_dims": (2,)} if hasattr(space.stages[0], "head_dims") else {"head_dim": 2}  # before it was one
    stages = tuple(
        replace(stage, widths=tuple(w // 16 for w in stage.widths), hidden=tuple(h // 32 for h in stage.hidden), **size)
        for stage in space.stages
    )
    return replace(space, stages=stages, classes=10)


def run_of(case: dict) -> TrainingRun:
    """Return the run whose steps are timed."""
    space = packaged_spaces()[case["space"] or "demo"]
    if not case["passes"]:
        space = without_channels(space)
    alone = space.sample(np.random.default_rng(3)).arch
    recipe = Recipe(epochs=1, batch=case["batch"], group=case["group"], learning_rate=1e-3, warm_up_epochs=0)
    recipe = replace(recipe, drop_path=0.1, masked=False, ema=0.0 if case["passes"] and case["space"] else 0.999)
    recipe = replace(recipe, erasing=0.0 if case["passes"] else 0.25)
    data = Unread((case["steps"] + WARM_UP) * case["batch"], tuple("abcdefghij"))
    return TrainingRun(
        arch=space.widest().full if case["space"] else alone,
        space=space if case["space"] else None,
        recipe=recipe,
        data="none",
        train=data,
        val=data,
        preprocessing=Preprocessing(space.image_size, space.image_size),
        seed=0,
        folder=Path(case["folder"]),
    )


def leave_passes_out(training: object) -> None:
    """Let the passes forward and back be gradients that are there already."""
    learner = getattr(training, "learner", training)  # before, the loop held all that learns
    for group in learner.optimiser.param_groups:
        if not group["fused"]:
            group["foreach"] = True  # as it is on a GPU without being asked
    parameters = list(learner.network.parameters())
    gradients, loss = [torch.zeros_like(parameter) for parameter in parameters], torch.ones(())

    def given(*_: object) -> torch.Tensor:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss

    if learner is not training:
        learner.passes = given
        return
    module = lambda *_: None  # noqa: E731  a function for its attributes: the loop calls `train` of it
    module.train = learner.network.train
    learner.module, loop.token_label_loss, torch.autograd.backward = module, lambda *_: loss, given


def kernels_timed() -> list[float]:
    """Count the seconds inside the updates' kernels on lists of tensors, from now on, in the list that is returned.

    Each is a launch on a GPU, which takes microseconds; on a CPU it computes before it returns.
    """
    spent = [0.0]

    def timed(kernel: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **named: object) -> object:
            start = time.perf_counter()
            try:
                return kernel(*arguments, **named)
            finally:
                spent[0] += time.perf_counter() - start

        return call

    for name in dir(torch):
        if name.startswith(("_foreach_", "_fused_")):
            setattr(torch, name, timed(getattr(torch, name)))
    return spent


def main() -> None:
    """Time the steps of the case that the command line holds as JSON."""
    case = json.loads(sys.argv[1])
    run, times, spent = run_of(case), [], [0.0]
    training = loop._Training(run, Processes(Share(), torch.device("cpu")), silent, silent)
    pixels = torch.randint(0, 256, (case["batch"], 3, case["side"], case["side"]), dtype=torch.uint8)
    batch = Batch(pixels, torch.arange(case["batch"]) % 10, ())

    def batches(_first: int):
        for _ in range(case["steps"] + WARM_UP):
            times.append(time.perf_counter() - spent[0])
            yield batch

    training._batches, training.subnets = batches, None
    training.accuracy = lambda *_: ValidationAccuracy(0.5, 0.5, 1, ())
    if not case["passes"]:
        leave_passes_out(training)
        spent = kernels_timed()
    training.train()
    print(json.dumps(np.diff(times)[WARM_UP:].tolist()))


if __name__ == "__main__":
    main()
