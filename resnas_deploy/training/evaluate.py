"""What share of a validation split a network gets right."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from resnas_deploy.data.accuracy import FAR_BELOW, is_right, note_chance
from resnas_deploy.data.class_match import check_classes, classes_of
from resnas_deploy.data.source import open_data
from resnas_deploy.errors import BadInput, first_few
from resnas_deploy.images.preprocessing import Preprocessing
from resnas_deploy.network.module import build_model
from resnas_deploy.progress import Progress, counted, silent
from resnas_deploy.runners.torch_settings import exact_on
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.input.batches import Batch, evaluation_batches, normalised
from resnas_deploy.training.input.worker_count import worker_count
from resnas_deploy.training.run import loaded, preprocessing_for
from resnas_deploy.weights.checkpoint import Checkpoint


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


def evaluate_checkpoint(
    checkpoint: Checkpoint | Path,
    data: str,
    batch: int,
    workers: int | None,
    skip_unreadable: bool,
    processes: Processes,
    progress: Progress = silent,
) -> ValidationAccuracy:
    """Measure a checkpoint on the validation split; a note says where that shows nothing, or is far below its own.

    Raise `BadInput` for data of other classes, and for images that cannot be read, unless they are to be skipped.
    """
    (weights, name), opened = loaded(checkpoint), open_data(data)
    check_classes(classes_of(weights.arch.classes, weights.task), opened.val.class_names, name)
    preprocessing = weights.task.preprocessing if weights.task else preprocessing_for(data, weights.arch.image_size)
    model = build_model(weights).to(processes.device)
    workers = worker_count(workers, opened.val, preprocessing.image_size, batch, processes)
    batches = evaluation_batches(
        opened.val, preprocessing, batch, share=processes.share, workers=workers, pin=processes.pins
    )
    with closing(batches):
        own = -(-len(opened.val.labels) // processes.share.processes)
        found = evaluate(model, told(batches, own, "evaluating", progress), preprocessing, processes)
    if found.unreadable and not skip_unreadable:
        raise BadInput(f"{first_few(found.unreadable)}; or give `skip_unreadable`")
    said = weights.accuracy
    if said and found.images and found.top1 < FAR_BELOW * said.top1:
        logging.getLogger(__name__).warning(
            "this accuracy is far below the %.2f %% that the checkpoint says of itself, on %s; see whether the "
            "images lie in the right classes",
            *(100 * said.top1, said.data),
        )
    correct = round(found.top1 * found.images)
    note_chance(correct, found.images, opened.val.labels, opened.val.class_names, "this accuracy")
    return found
