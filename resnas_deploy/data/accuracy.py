"""What of labelled images is right, and whether that says anything: against a network that knows nothing of them.

Such a network does best by always answering the most frequent class, so that its share of the images is chance, and
not one over the number of classes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.data.labelled import Indices
from resnas_deploy.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

SIGNIFICANCE = 0.001  # how probable it may be, at most, that a network no better than chance passes
LEAST_OTHERS = 10  # images of other classes than the most frequent: with fewer, none right by chance shows nothing
FAR_BELOW = 0.75  # of what a checkpoint says of itself: other images of the same classes may be harder, not by more
_MOST_OF_A_CLASS = 0.7
_LEAST_OF_A_CLASS = 10

Right = NDArray[np.bool_]  # (images,): whether each was classified rightly


@dataclass(frozen=True)
class Chance:
    """The share that always answering one class gets right."""

    number: int  # the most frequent class
    count: int  # images of it
    images: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.count / max(1, self.images)


def is_right(logits: Tensor, labels: Tensor, among: int = 1) -> Tensor:
    """Return whether each image's class is among so many of its largest logits, `(B,)`; of `(B, classes)` and `(B,)`.

    Training and searches count hits by it; of an exported graph the very answers are looked at (`exporting.accuracy`).
    """
    return (logits.topk(min(among, logits.shape[1])).indices == labels[:, None]).any(1)


def chance_of(labels: Indices) -> Chance:
    """Return what the most frequent of the labels gets right."""
    counts = np.bincount(labels) if len(labels) else np.zeros(1, int)
    number = int(counts.argmax())
    return Chance(number, int(counts[number]), len(labels))


def beats_chance(labels: Indices, right: Right) -> bool:
    """Return whether a network is better than always answering the most frequent class, beyond doubt.

    A sign test on the same images: those of other classes that it gets right against those of the most frequent one
    that it gets wrong.
    """
    usual = labels == chance_of(labels).number
    return is_more(int((right & ~usual).sum()), int((~right & usual).sum()))


def is_more(gained: int, lost: int) -> bool:
    """Return whether so many more gained than lost are beyond doubt, if either were as probable: the binomial tail."""
    from scipy.special import bdtrc

    return gained > 0 and float(bdtrc(gained - 1, gained + lost, 0.5)) <= SIGNIFICANCE


def note_chance(correct: int, seen: int, labels: Indices, names: Sequence[str], what: str) -> None:
    """Log a line where an accuracy cannot be told from chance; `what` begins it."""
    from scipy.special import bdtrc

    chance = chance_of(labels)
    if seen and (not correct or float(bdtrc(correct - 1, seen, chance.share)) > SIGNIFICANCE):
        logging.getLogger(__name__).warning(
            "%s, %.2f %% of %d images, cannot be told from chance: always answering %r gets %.2f %% right",
            *(what, 100 * correct / seen, seen, names[chance.number], 100 * chance.share),
        )


def check_telling(labels: Indices, names: Sequence[str], what: str) -> None:
    """Raise `BadInput` where not even a network without a mistake could be told from chance on these images."""
    chance = chance_of(labels)
    others = chance.images - chance.count
    if others < LEAST_OTHERS:
        raise BadInput(
            f"{what} must have at least {LEAST_OTHERS} images of other classes than its most frequent one, or "
            f"accuracy cannot be told from chance, found {others} beside {chance.count} of "
            f"{names[chance.number]!r}; add some"
        )


def exchanged(labels: Indices, answers: Indices, classes: int) -> tuple[int, ...]:
    """Return classes whose images are mostly taken for each other in a ring: their labels are in another order.

    No network makes such mistakes that tells its classes apart otherwise. Empty where there are none.
    """
    table = np.zeros((classes, classes), int)
    np.add.at(table, (labels, answers), 1)
    seen = table.sum(1)
    best = table.argmax(1)
    sure = (seen >= _LEAST_OF_A_CLASS) & (table.max(1) > _MOST_OF_A_CLASS * seen)
    for first in np.flatnonzero(sure & (best != np.arange(classes))).tolist():
        ring = [first]
        while sure[ring[-1]] and (after := int(best[ring[-1]])) not in ring:
            ring.append(after)
        if sure[ring[-1]] and int(best[ring[-1]]) == first:
            return tuple(ring)
    return ()
