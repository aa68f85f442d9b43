"""What a network answers to labelled images: each is read once, in flat memory, and a few numbers are kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.data.labelled import Indices, LabelledImages
from resnas_deploy.engines.finding import Need
from resnas_deploy.engines.opening import open_runner
from resnas_deploy.errors import BadInput, VerificationFailed
from resnas_deploy.evaluating.subject import Subject
from resnas_deploy.images.preprocessing import Inputs, prepare
from resnas_deploy.images.stream import read_ahead
from resnas_deploy.progress import Progress, counted
from resnas_deploy.runners.base import Options, Runner

TOP = 5
_ARRAYS = ("indices", "labels", "classes", "ranks", "confidence", "surprise")
_LEAST = 1e-45  # of a probability whose logarithm is taken


@dataclass(frozen=True)
class Ran:
    """On what a network was run."""

    runner: str  # and its version
    device: str
    computes: str


@dataclass(frozen=True)
class Answers:
    """The answers to the images that could be read, in their order; all arrays are `(images,)`."""

    indices: Indices  # numbers of the images
    labels: Indices
    classes: Indices  # that were answered: of the largest logit, the first of equal ones
    ranks: Indices  # of the image's class among the logits, from 0
    confidence: NDArray[np.float64]  # the probability of the answer
    surprise: NDArray[np.float64]  # -ln of the probability of the image's class
    unreadable: tuple[tuple[int, str], ...]  # number and what is wrong, of the others

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each was answered rightly."""
        return np.equal(self.ranks, 0)

    @property
    def among_first(self) -> NDArray[np.bool_]:
        """Whether each one's class is among the first five."""
        return np.less(self.ranks, TOP)


def answers_of(
    subject: Subject, images: LabelledImages, batch: int, options: Options, progress: Progress
) -> tuple[Answers, Ran]:
    """Run a network over all images; `batch` is what it is to take at once, or the nearest that it takes.

    Raise `BadInput` where not one image can be read, and `VerificationFailed` for a logit that is not finite.
    """
    size, total = subject.batch(batch), len(images.labels)
    unreadable = list[tuple[int, str]]()
    parts = list[Answers]()
    progress(f"loading {subject.network.label} on {subject.kind.name}")
    own = replace(options, engine=subject.engine)
    with open_runner(subject.kind, subject.network, own, progress, Need((size,))) as runner:
        ran = Ran(f"{runner.name} ({runner.version})", runner.device, runner.computes)
        done = 0
        readable = _readable(subject, images, size, options.threads, unreadable)
        while made := tuple(islice(readable, size)):
            rows = np.array([index for index, _ in made])
            parts.append(_answered(subject, images, runner, rows, [each for _, each in made], size))
            done += len(rows)
            progress(counted("evaluating", done + len(unreadable), total, "images"))
    if not parts:
        raise BadInput(f"there must be an image that can be read, found none of {total}: {unreadable[0][1]}")
    return _joined(parts, unreadable), ran


def _joined(parts: Sequence[Answers], unreadable: Sequence[tuple[int, str]]) -> Answers:
    def whole(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Answers(**{name: whole(name) for name in _ARRAYS}, unreadable=tuple(unreadable))


def _readable(
    subject: Subject, images: LabelledImages, batch: int, threads: int, unreadable: list[tuple[int, str]]
) -> Iterator[tuple[int, Inputs]]:
    """Yield number and input of each image that can be read, made ahead of the network; the others are added."""

    def make(index: int) -> Inputs:
        return prepare(images.image(index), subject.preprocessing, subject.network.input)

    reading = read_ahead(range(len(images.labels)), make, threads=threads, ahead=2 * batch)
    with closing(reading) as reads:
        for read in reads:
            if read.made is None:
                unreadable.append((read.item, read.error))
            else:
                yield read.item, read.made


def _answered(
    subject: Subject,
    images: LabelledImages,
    runner: Runner,
    rows: Indices,
    inputs: Sequence[Inputs],
    size: int,
) -> Answers:
    """Run one batch. A last one that has fewer images is filled up, and what fills it is not counted."""
    filled = [inputs[number % len(inputs)] for number in range(size)]
    values = runner.run(np.stack(filled))[OUTPUT][: len(rows)].astype(np.float64)
    if values.shape[1] != subject.classes.count:
        raise BadInput(
            f"{subject.network.source} must give {subject.classes.count} logits, as it says, found {values.shape[1]}"
        )
    if not np.isfinite(values).all():
        wrong = int(rows[int(np.flatnonzero(~np.isfinite(values).all(1))[0])])
        raise VerificationFailed(
            f"the logits of {images.name(wrong)} must be finite, found NaN or infinity from {subject.network.label} on "
            f"{subject.kind.name}; `verify()` {subject.network.source} says where it comes from"
        )
    labels = images.labels[rows]
    own = values[np.arange(len(rows)), labels][:, None]
    before = (values == own) & (np.arange(values.shape[1]) < labels[:, None])  # of equal logits the first counts
    logarithms = _log_probabilities(values, probabilities=subject.gives_probabilities)
    return Answers(
        rows,
        labels,
        values.argmax(1),
        ((values > own) | before).sum(1),
        np.exp(logarithms.max(1)),
        -logarithms[np.arange(len(rows)), labels],
        (),
    )


def _log_probabilities(values: NDArray[np.float64], *, probabilities: bool) -> NDArray[np.float64]:
    """Return natural logarithms of the probabilities, `(B, classes)`, of logits or of probabilities."""
    if probabilities:
        plain: NDArray[np.float64] = np.log(np.clip(values, _LEAST, 1.0))
        return plain
    shifted = values - values.max(1, keepdims=True)
    found: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return found
