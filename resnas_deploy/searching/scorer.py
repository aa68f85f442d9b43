"""How good a subnet is with the supernet's weights, on images that training did not see.

Nothing is built for a candidate: its pass reads slices of the supernet's weights, which are views. The stem's
convolutions are computed once for all subnets that have as many channels in them, as far as their output fits into
memory.

The evaluation of a hopeless one stops early. The images are in random order, so what a candidate got right of the first
`seen` is a draw without replacement from all of them: hypergeometric. It is stopped where so few would be right with a
probability below `RISK` if of all images it got as many right as the worst parent did. The risk is shared out over the
looks (Bonferroni), so that of the candidates that are as good as that parent at most `RISK` are lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.data.accuracy import is_right
from resnas_deploy.data.labelled import ImageSubset, LabelledImages
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.searching.candidate import Score
from resnas_deploy.training.input.batches import evaluation_batches, normalised
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.weights.checkpoint import Checkpoint

RISK = 0.001
KEPT_BYTES = 2**28  # of what the stem makes of the images: of the demo's 1,000 it is 16 MB
_ORDER_SEED = 0  # of the images: in random order, so that the first ones are a fair sample


@dataclass(frozen=True)
class HeldOut:
    """The images that candidates are scored on, decoded once, in batches: a quarter of what normalised ones take."""

    images: tuple[Tensor, ...]  # each (B, 3, S, S), uint8
    labels: tuple[Tensor, ...]  # each (B,)
    preprocessing: Preprocessing

    @property
    def total(self) -> int:
        """Count the images of all batches."""
        return sum(map(len, self.labels))


def decode_held_out(images: LabelledImages, checkpoint: Checkpoint, batch: int, workers: int = 0) -> HeldOut:
    """Decode the images. Raise `BadInput` where one cannot be read."""
    if checkpoint.task is None:
        raise BadInput("the supernet must be one that resnas trained, found a checkpoint that names no classes")
    order = np.random.default_rng(_ORDER_SEED).permutation(len(images.labels))
    batches = list(
        evaluation_batches(ImageSubset(images, order), checkpoint.task.preprocessing, batch, workers=workers)
    )
    if unreadable := [line for item in batches for line in item.unreadable]:
        raise BadInput(unreadable[0])
    pixels, labels = (tuple(item.pixels for item in batches), tuple(item.labels for item in batches))
    return HeldOut(pixels, labels, checkpoint.task.preprocessing)


class Scorer:
    """Scores subnets of one supernet on one set of images."""

    def __init__(self, checkpoint: Checkpoint, held_out: HeldOut, device: torch.device) -> None:
        self._network = TrainedNetwork(checkpoint.arch)
        self._network.load(checkpoint)
        self._network.to(device).eval()
        self._images = [pixels.to(device) for pixels in held_out.images]
        self._labels = [labels.to(device) for labels in held_out.labels]
        self._preprocessing, self._device = held_out.preprocessing, device
        self._total = held_out.total
        self._kept: dict[tuple[int, int], Tensor] = {}  # of the stem, by the batch and the stem's width
        self._room = KEPT_BYTES

    @torch.inference_mode()
    def score(self, subnet: Subnet, target: int | None = None) -> Score:
        """Count what it gets right; stop where it is hopeless that `target` of all would be (`hopeless`)."""
        correct = seen = 0
        looks = len(self._labels) - 1
        for number, labels in enumerate(self._labels):
            logits = self._network.from_features(self._features(number, subnet), (subnet,)).image
            correct += int(is_right(logits, labels).sum())
            seen += len(labels)
            if target is not None and seen < self._total and hopeless(correct, seen, target, self._total, looks):
                return Score(correct, seen, stopped=True)
        return Score(correct, seen)

    def scores(self, subnets: Sequence[Subnet], target: int | None) -> list[Score]:
        """Score several subnets."""
        return [self.score(subnet, target) for subnet in subnets]

    def _features(self, number: int, subnet: Subnet) -> Tensor:
        """Return what a subnet's stem makes of a batch, which others have as well: kept where there is room."""
        key = number, subnet.full.stem_mid_width
        if (kept := self._kept.get(key)) is not None:
            return kept
        images = normalised(self._images[number], self._preprocessing, self._device)
        found = self._network.features(images, (subnet,))
        if found.nbytes <= self._room:
            self._kept[key] = found
            self._room -= found.nbytes
        return found


def hopeless(correct: int, seen: int, target: int, total: int, looks: int) -> bool:
    """Tell whether a candidate with so many correct of those seen cannot be expected to reach `target` of `total`."""
    if correct + total - seen < target:  # not even if all others are right
        return True
    return bool(stats.hypergeom.cdf(correct, total, target, seen) < RISK / max(1, looks))
