"""What every experiment does: train a network or a supernet on pairs, and judge it by cross-entropy and top-1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

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
PREPROCESSING = preprocessing_for("demo", pairs.SIDE)


@dataclass(frozen=True)
class Lesson:
    """A training run on pairs, from random weights that its seed decides, as its pictures are."""

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


@dataclass(frozen=True)
class Course:
    """What came of a lesson."""

    network: TrainedNetwork
    losses: tuple[float, ...]  # of the image's head and the patches' together, means over `AVERAGED` steps
    diverged: int  # the step whose loss was not finite, counted from 1; 0: none


def taught(lesson: Lesson, at: Callable[[int, TrainedNetwork], None] = lambda *_: None, device: str = "cpu") -> Course:
    """Train. After every step `at` is called with how many are done; a loss that is not finite ends it."""
    place = torch.device(device)
    run = lesson.run
    with without_residual() if not lesson.residual else unchanged():
        learner = Learner(run, Processes(Share(), place))
        losses: list[torch.Tensor] = []
        means: list[float] = []
        for step in range(lesson.steps):
            pixels, labels = pairs.batch(lesson.seed, step, lesson.batch)
            losses.append(learner.learn(step, Batch(pixels, labels, ()), learning_rate(run.recipe, step, 1), 1.0))
            if len(losses) == AVERAGED or step + 1 == lesson.steps:
                found = torch.stack(losses).tolist()
                if wrong := [number for number, one in enumerate(found) if not math.isfinite(one)]:
                    return Course(learner.network, tuple(means), step + 2 - len(found) + wrong[0])
                means.append(sum(found) / len(found))
                losses.clear()
            at(step + 1, learner.network)
        return Course(learner.network, tuple(means), 0)


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


@contextmanager
def without_residual() -> Iterator[None]:
    """Spatial reductions have no residual within the block."""
    original = ResidualReduction.residual
    ResidualReduction.residual = lambda self, x: torch.zeros_like(original(self, x))
    try:
        yield
    finally:
        ResidualReduction.residual = original


@contextmanager
def unchanged() -> Iterator[None]:
    """Spatial reductions are as they are."""
    yield


def with_classes(space: SearchSpace) -> SearchSpace:
    """Return a space for the pairs."""
    return replace(space, classes=pairs.CLASSES, image_size=pairs.SIDE)
