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

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

import torch
from scipy import stats
from torch import Tensor

from resnas_deploy.arch.spec import Subnet
from resnas_deploy.data.accuracy import is_right
from resnas_deploy.runners.torch_settings import exact_on
from resnas_deploy.searching.candidate import Score, ignored
from resnas_deploy.searching.decoded import HeldOut
from resnas_deploy.searching.held_out import KEPT_BYTES
from resnas_deploy.training.input.batches import normalised
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.sliced import GatheredSlices, sliced_logits
from resnas_deploy.weights.checkpoint import Checkpoint

RISK = 0.001
_DEVICE_SHARE = 0.5  # of a device's free memory, that the images may take there; else each batch is copied again
_TIMED = 3  # rounds of a batch that is timed, of which the fastest counts


class Scorer:
    """Scores subnets of one supernet on one set of images.

    On CUDA the passes are in fp16 where that is safe (autocast), as the paper's were; on a CPU in fp32. Of what the
    stem makes of the images at most `kept_bytes` are kept.
    """

    def __init__(
        self, checkpoint: Checkpoint, held_out: HeldOut, device: torch.device, kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._network = TrainedNetwork(checkpoint.arch)
        self._network.load(checkpoint)
        self._network.to(device).eval()
        self._images = _placed(held_out.images, device)
        self._labels = [labels.to(device) for labels in held_out.labels]
        self._preprocessing, self._device = held_out.preprocessing, device
        self._total = held_out.total
        self._kept: dict[tuple[int, int], Tensor] = {}  # of the stem, by the batch and the stem's width
        self.kept_bytes = self._room = kept_bytes
        self._stopping = StoppingRule(self._total, len(self._labels) - 1)

    @property
    def workers(self) -> int:
        """Count those that score at once: this one."""
        return 1

    @torch.inference_mode()
    def score(self, subnet: Subnet, target: int | None = None) -> Score:
        """Count what it gets right; stop where it is hopeless that `target` of all would be (`StoppingRule`)."""
        slices = GatheredSlices()
        correct = seen = 0
        for number, labels in enumerate(self._labels):
            correct += self._right(self._features(number, subnet), subnet, labels, slices)
            seen += len(labels)
            if target is not None and seen < self._total and correct < self._stopping.least(seen, target):
                return Score(correct, seen, stopped=True)
        return Score(correct, seen)

    def scores(
        self, subnets: Sequence[Subnet], target: int | None, scored: Callable[[int], object] = ignored
    ) -> list[Score]:
        """Score several subnets; `scored` is told how many are done."""
        found = list[Score]()
        for subnet in subnets:
            found.append(self.score(subnet, target))
            scored(len(found))
        return found

    @torch.inference_mode()
    def rate(self, subnets: Sequence[Subnet], images: int) -> float:
        """Return how many of so many images a second these score in the mean, by passes of the first batch."""
        labels, stem_s, passes_s = self._labels[0], list[float](), list[float]()
        different_stems = {subnet.full.stem_mid_width: subnet for subnet in subnets}.values()
        gathered = {subnet: GatheredSlices() for subnet in subnets}
        for _ in range(1 + _TIMED):  # once to warm up
            started = time.perf_counter()
            features = {subnet.full.stem_mid_width: self._computed(0, subnet) for subnet in different_stems}
            _finish(self._device)
            halfway = time.perf_counter()
            for subnet, slices in gathered.items():
                self._right(features[subnet.full.stem_mid_width], subnet, labels, slices)  # which waits for the device
            stem_s.append((halfway - started) / len(features))
            passes_s.append((time.perf_counter() - halfway) / len(gathered))
        whole = sum(found.nbytes for found in features.values()) * images / len(labels)
        again = max(0.0, 1 - self.kept_bytes / whole)  # that is not kept
        return len(labels) / (min(passes_s[1:]) + again * min(stem_s[1:]))

    def _right(self, features: Tensor, subnet: Subnet, labels: Tensor, slices: GatheredSlices) -> int:
        with exact_on(self._device), _precision(self._device):
            logits = sliced_logits(self._network.body, features, subnet, slices)
        return int(is_right(logits, labels).sum())

    def _features(self, number: int, subnet: Subnet) -> Tensor:
        """Return what a subnet's stem makes of a batch, which others have as well: kept where there is room."""
        key = number, subnet.full.stem_mid_width
        if (kept := self._kept.get(key)) is not None:
            return kept
        found = self._computed(number, subnet)
        if found.nbytes <= self._room:
            self._kept[key] = found
            self._room -= found.nbytes
        return found

    def _computed(self, number: int, subnet: Subnet) -> Tensor:
        with exact_on(self._device), _precision(self._device):
            images = normalised(self._images[number], self._preprocessing, self._device)
            return self._network.features(images, (subnet,))


def _precision(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")


def _placed(images: Sequence[Tensor], device: torch.device) -> Sequence[Tensor]:
    """Return the images on the device where they leave room there, else as they are, to be copied batch by batch."""
    if device.type != "cuda":
        return images
    free, _ = torch.cuda.mem_get_info(device)
    fits = sum(pixels.nbytes for pixels in images) <= _DEVICE_SHARE * free
    return [pixels.to(device) for pixels in images] if fits else images


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class StoppingRule:
    """When the evaluation of a candidate is hopeless, of `total` images, with so many looks at it before the last."""

    def __init__(self, total: int, looks: int) -> None:
        self._total, self._risk = total, RISK / max(1, looks)
        self._least: dict[tuple[int, int], int] = {}

    def least(self, seen: int, target: int) -> int:
        """Return how many of those seen must be right, or it cannot be expected that `target` of all would be.

        It is the same for all candidates of a wave, and looked for once: the tail of the distribution takes longer
        than a small network's pass.
        """
        if (found := self._least.get((seen, target))) is None:
            certain = max(0, target - (self._total - seen))  # with fewer, not even all others would be enough
            found = bisect_left(
                range(seen + 1), self._risk, lo=certain, key=lambda correct: self._tail(correct, seen, target)
            )
            self._least[seen, target] = found
        return found

    def _tail(self, correct: int, seen: int, target: int) -> float:
        """Return the probability of so many right or fewer of those seen, where `target` of all are right."""
        return float(stats.hypergeom.cdf(correct, self._total, target, seen))
