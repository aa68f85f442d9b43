"""How many images a network gets right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from resnas_deploy.training.data.loader import Batch
from resnas_deploy.training.distributed import Processes


@dataclass(frozen=True)
class Accuracy:
    """Shares of images, from 0 to 1."""

    top1: float
    top5: float
    images: int  # that could be read
    unreadable: tuple[str, ...]  # what was wrong with the others, of this process


@torch.inference_mode()
def evaluate(network: Callable[[Tensor], Tensor], batches: Iterable[Batch], processes: Processes) -> Accuracy:
    """Top-1 and top-5 over all processes; `network` takes normalised images and gives logits `(B, classes)`."""
    counts = torch.zeros(3, dtype=torch.int64, device=processes.device)
    unreadable: list[str] = []
    for batch in batches:
        unreadable += batch.unreadable
        if not len(batch.labels):
            continue
        logits = network(batch.pixels.to(processes.device))
        ranked = logits.topk(min(5, logits.shape[1])).indices == batch.labels.to(processes.device)[:, None]
        counts += torch.stack([ranked[:, 0].sum(), ranked.any(1).sum(), torch.tensor(len(ranked)).to(counts)])
    top1, top5, images = processes.total(counts).tolist()
    return Accuracy(top1 / max(1, images), top5 / max(1, images), images, tuple(unreadable))
