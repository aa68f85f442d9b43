"""What share of a validation split a network gets right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from resnas_deploy.data.accuracy import is_right
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.progress import Progress, counted
from resnas_deploy.runners.torch_settings import exact_on
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.input.batches import Batch, normalised


@dataclass(frozen=True)
class ValidationAccuracy:
    """Shares of the images of a validation split, from 0 to 1."""

    top1: float
    top5: float
    images: int  # that could be read
    unreadable: tuple[str, ...]  # what was wrong with the others, of this process

    def to_json(self) -> dict[str, object]:
        """Return it as plain data for JSON."""
        unreadable = list(self.unreadable)
        return {"top1": self.top1, "top5": self.top5, "pictures": self.images, "unreadable": unreadable}

    def __str__(self) -> str:
        lost = f"; {len(self.unreadable)} more could not be read" if self.unreadable else ""
        return f"top-1 {self.top1:.2%}, top-5 {self.top5:.2%} of {self.images} validation images{lost}"


@torch.inference_mode()
def evaluate(
    network: Callable[[Tensor], Tensor], batches: Iterable[Batch], preprocessing: Preprocessing, processes: Processes
) -> ValidationAccuracy:
    """Measure over all processes; `network` takes normalised images and gives logits `(B, classes)`."""
    counts = torch.zeros(3, dtype=torch.int64, device=processes.device)
    unreadable: list[str] = []
    for batch in batches:
        unreadable += batch.unreadable
        if not len(batch.labels):
            continue
        labels = batch.labels.to(processes.device, non_blocking=True)
        with exact_on(processes.device):  # whatever training is allowed
            logits = network(normalised(batch.pixels, preprocessing, processes.device))
        hits = [is_right(logits, labels, among).sum() for among in (1, 5)]
        counts += torch.stack([*hits, torch.tensor(len(labels)).to(counts)])
    top1, top5, images = processes.total(counts).tolist()
    return ValidationAccuracy(top1 / max(1, images), top5 / max(1, images), images, tuple(unreadable))


def told(batches: Iterable[Batch], of: int, what: str, progress: Progress) -> Iterator[Batch]:
    """Yield batches, of so many images that this process sees, and tell how many of them are done."""
    done = 0
    for batch in batches:
        progress(counted(what, done, of, "images"))
        yield batch
        done += len(batch.labels) + len(batch.unreadable)
