"""What every experiment does: train a network or a supernet on pairs, and judge it by cross-entropy and top-1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from evidence import pairs
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.data.accuracy import is_right
from resnas_deploy.data.demo import DemoImages
from resnas_deploy.data.source import preprocessing_for
from resnas_deploy.network.module import ResidualReduction
from resnas_deploy.training.distributed import Processes, Share
from resnas_deploy.training.input.batches import Batch, normalised
from resnas_deploy.training.learner import Learner
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.optimiser import learning_rate
from resnas_deploy.training.recipe import Recipe
from resnas_deploy.training.run import TrainingRun
from resnas_deploy.training.sliced import sliced_logits

AT_ONCE = 250  # pictures that are judged at once
AVERAGED = 20  # steps of which the loss is a mean
CHANCE = math.log(pairs.CLASSES)  # the cross-entropy of a network that knows nothing
PREPROCESSING = preprocessing_for("demo", pairs.SIDE)


@dataclass(frozen=True)
class Lesson:
    """A training run on pairs, from random weights that its seed decides, as it does the pictures."""

    arch: ArchSpec  # the network, or the supernet
    steps: int
    batch: int
    rate: float  # of learning at the end of the warm-up
    seed: int
    space: SearchSpace | None = None
    groups: int = 1  # subnets of a step
    masked: bool = False
    residual: bool = True  # of the reductions
    warm_up: int = 100  # steps

    @property
    def run(self) -> TrainingRun:
        """The run as the package's own training takes it; an epoch is a step."""
        recipe = Recipe(
            epochs=self.steps,
            batch=self.batch,
            group=self.batch // self.groups,
            learning_rate=self.rate * 512 / self.batch,
            warm_up_epochs=self.warm_up,
            label_smoothing=0.0,
            mixing=False,
            masked=self.masked,
        )
        none = DemoImages(np.zeros((0, pairs.SIDE, pairs.SIDE), np.uint8), np.zeros(0, np.int64), pairs.NAMES)
        arch, space = self.arch, self.space
        return TrainingRun(arch, space, recipe, "pairs", none, none, PREPROCESSING, self.seed, Path())


@dataclass(frozen=True)
class Judged:
    """How good a network is on fixed pictures."""

    cross_entropy: float  # nats
    top1: float  # from 0 to 1

    def to_json(self) -> dict[str, float]:
        """Return plain data for JSON."""
        return {"cross_entropy": round(self.cross_entropy, 5), "top1": round(self.top1, 5)}


@dataclass(frozen=True)
class Course:
    """What came of a lesson."""

    network: TrainedNetwork
    losses: tuple[float, ...]  # of the image's head and the patches' together, means over `AVERAGED` steps
    diverged: int  # the step whose loss was not finite, counted from 1; 0: none
    read: tuple[dict[str, Any], ...]  # what was read after some steps, each with its `step`

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        losses = [round(one, 4) for one in self.losses]
        return {"losses": losses, "diverged": self.diverged, "read": list(self.read)}


def taught(
    lesson: Lesson,
    read_at: Sequence[int] = (),
    read: Callable[[int, TrainedNetwork], Mapping[str, Any]] = lambda *_: {},
    device: str = "cpu",
) -> Course:
    """Train, and read something of the network after some numbers of steps. A loss that is not finite ends it."""
    run = lesson.run
    with nullcontext() if lesson.residual else without_residual():
        learner = Learner(run, Processes(Share(), torch.device(device)))
        losses: list[torch.Tensor] = []
        means: list[float] = []
        found: list[dict[str, Any]] = []
        for step in range(lesson.steps):
            pixels, labels = pairs.batch(lesson.seed, step, lesson.batch)
            losses.append(learner.learn(step, Batch(pixels, labels, ()), learning_rate(run.recipe, step, 1), 1.0))
            done = step + 1
            if len(losses) == AVERAGED or done in read_at or done == lesson.steps:
                values = torch.stack(losses).tolist()
                if wrong := [number for number, one in enumerate(values) if not math.isfinite(one)]:
                    return Course(learner.network, tuple(means), done - len(values) + 1 + wrong[0], tuple(found))
                if len(losses) == AVERAGED or done == lesson.steps:
                    means.append(sum(values) / len(values))
                    losses.clear()
            if done in read_at:
                found.append({"step": done, **read(done, learner.network)})
        return Course(learner.network, tuple(means), 0, tuple(found))


def taught_alone(lesson: Lesson, settings: Mapping[str, Any], device: str) -> Course:
    """Train one network, and judge it on `settings`' first pictures on the way and on all of them at the end."""

    def read(step: int, network: TrainedNetwork) -> Mapping[str, Any]:
        images = pairs.validation(settings["pictures"] if step == lesson.steps else settings["first_pictures"])
        return judged(network, [Subnet.whole(lesson.arch)], images)[0].to_json()

    return taught(lesson, settings["read_at"], read, device)


@torch.inference_mode()
def judged(network: TrainedNetwork, subnets: Sequence[Subnet], images: DemoImages) -> list[Judged]:
    """Judge subnets, by slices, on pictures; the stem is computed once for all of them."""
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    entropy, right = torch.zeros(2, len(subnets), dtype=torch.float64)
    for start in range(0, len(images.labels), AT_ONCE):
        these = slice(start, start + AT_ONCE)
        pixels = torch.from_numpy(images.pixels[these])[:, None].expand(-1, 3, -1, -1)
        labels = torch.from_numpy(images.labels[these]).to(device)
        features = network.features(normalised(pixels, PREPROCESSING, device), subnets[:1])
        for number, subnet in enumerate(subnets):
            logits = sliced_logits(network.body, features, subnet)
            entropy[number] += float(F.cross_entropy(logits, labels, reduction="sum"))
            right[number] += int(is_right(logits, labels).sum())
    network.train(was_training)
    count = len(images.labels)
    return [Judged(float(e) / count, float(r) / count) for e, r in zip(entropy, right, strict=True)]


def counted(entropy: float | None) -> float:
    """Return a cross-entropy as it counts: what is missing, not finite or worse than chance counts as chance."""
    return CHANCE if entropy is None or not entropy < CHANCE else entropy


@contextmanager
def without_residual() -> Iterator[None]:
    """Spatial reductions have no residual within the block."""
    original = ResidualReduction.residual
    ResidualReduction.residual = lambda self, x: torch.zeros_like(original(self, x))
    try:
        yield
    finally:
        ResidualReduction.residual = original
