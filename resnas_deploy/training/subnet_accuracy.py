"""How good subnets of a supernet are while it is trained: always the same ones, on the same images.

A supernet is not its widest subnet. The widest, the narrowest and a few that the run's seed draws are evaluated with
slices of the weights as they are, on images of the training split that training leaves out (`held_out`), or where there
are none on the validation split. They are decoded once, and kept as they come.

So many images are taken as keep it cheap: `SHARE` of those that an epoch trains on, of each class alike. Ten passes
forward of the subnets over 1.5 % of the images cost about as much as passes forward and back over 3 % of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.data.accuracy import is_right
from resnas_deploy.data.labelled import ImageSubset, Indices
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.input.batches import Batch, evaluation_batches, normalised
from resnas_deploy.training.network import TrainedNetwork
from resnas_deploy.training.passes import autocast
from resnas_deploy.training.run import TrainingRun
from resnas_deploy.training.sliced import sliced_logits

RANDOM = 8  # subnets beside the widest and the narrowest
WIDEST, NARROWEST, MEAN, LEAST = "widest_top1", "narrowest_top1", "subnets_mean_top1", "subnets_least_top1"
SHARE, LEAST_IMAGES = 0.015, 100
MOST_BYTES = 2**30  # of images in a process's memory
BATCH = 128  # images at once
_BY_ITSELF = 1_000  # images that a process decodes before workers would have started
_DRAWN, _ORDER = 0x5AB, 0  # begin the seeds of the subnets, and of the images, which are the same in every run


@dataclass(frozen=True)
class SubnetAccuracies:
    """Top-1 of the subnets by the names of their figures, from 0 to 1, on so many images."""

    top1: Mapping[str, float]
    images: int

    @property
    def figures(self) -> dict[str, float]:
        """Return what metrics.jsonl holds of them."""
        values = list(self.top1.values())
        return {**self.top1, MEAN: sum(values) / len(values), LEAST: min(values)}

    def __str__(self) -> str:
        found = self.figures
        return (
            f"of {len(self.top1)} subnets {found[MEAN]:.2%} in the mean, the widest {found[WIDEST]:.2%}, the narrowest "
            f"{found[NARROWEST]:.2%}"
        )


class FixedSubnets:
    """The subnets of a run, and the images that they are evaluated on. All processes take part."""

    def __init__(self, run: TrainingRun, space: SearchSpace, processes: Processes) -> None:
        self._run, self._processes = run, processes
        rng = np.random.default_rng((_DRAWN, run.seed))
        self.subnets = {WIDEST: space.widest(), NARROWEST: space.narrowest()}
        self.subnets |= {f"subnet{number + 1}_top1": space.sample(rng) for number in range(RANDOM)}

    @torch.inference_mode()
    def measure(self, network: TrainedNetwork) -> SubnetAccuracies:
        """Evaluate them with the weights as they are now, by slices, whichever way training takes; not compiled.

        The precision is that of training's passes. The stem's convolutions are computed once for all of them
        that have as many channels there.
        """
        run, device = self._run, self._processes.device
        network.eval()
        counts = torch.zeros(len(self.subnets) + 1, dtype=torch.int64, device=device)  # right of each; images
        for batch in self._batches:
            labels, right = batch.labels.to(device), list[Tensor]()
            with autocast(run.recipe, device):
                pixels, features = normalised(batch.pixels, run.preprocessing, device), dict[int, Tensor]()
                for subnet in self.subnets.values():
                    if (stem := subnet.full.stem_mid_width) not in features:
                        features[stem] = network.features(pixels, (subnet,))
                    right.append(is_right(sliced_logits(network.body, features[stem], subnet), labels).sum())
            counts += torch.stack([*right, torch.tensor(len(labels), device=device)])
        *found, images = self._processes.total(counts).tolist()
        return SubnetAccuracies(
            {name: own / max(1, images) for name, own in zip(self.subnets, found, strict=True)}, images
        )

    @cached_property
    def _batches(self) -> list[Batch]:
        run = self._run
        images = run.held_out or run.val
        most = max(LEAST_IMAGES, round(SHARE * len(run.train.labels)))
        most = min(most, MOST_BYTES * self._processes.share.processes // (3 * run.arch.image_size**2))
        chosen = ImageSubset(images, balanced(images.labels, most))
        workers = run.workers if most > _BY_ITSELF else 0
        batches = evaluation_batches(chosen, run.preprocessing, BATCH, share=self._processes.share, workers=workers)
        return [batch for batch in batches if len(batch.labels)]


def balanced(labels: Indices, most: int) -> Indices:
    """Return the numbers of at most so many images, of each class as many as of the others, give or take one.

    They are drawn at random, and the same ones for the same labels.
    """
    order = np.random.default_rng(_ORDER).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]  # by class, in each at random
    sizes = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # of an image in its class
    return np.sort(order[np.argsort(rank, kind="stable")][:most])
