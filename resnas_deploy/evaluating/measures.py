"""What answers to labelled images amount to, as NumPy arrays in and numbers out."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.data.labelled import Indices

LEVEL = 0.95  # of intervals
BINS = 15  # of confidence, as the definition's paper has them

Shares = NDArray[np.float64]  # (images,), from 0 to 1
Right = NDArray[np.bool_]  # (images,)


@dataclass(frozen=True)
class Share:
    """A share of images, from 0 to 1, with its interval."""

    share: float
    low: float
    high: float
    images: int  # that count towards it

    def __str__(self) -> str:
        return f"{self.share:.2%} ({self.low:.2%} to {self.high:.2%})"


@dataclass(frozen=True)
class ClassFigures:
    """How one class fares."""

    number: int
    support: int  # images of it
    right: int
    answered: int  # images that were taken for it

    @property
    def recall(self) -> float | None:
        """The share of its images that were taken for it; None where there is none."""
        return self.right / self.support if self.support else None

    @property
    def precision(self) -> float | None:
        """The share of the images taken for it that are of it; None where there is none."""
        return self.right / self.answered if self.answered else None


@dataclass(frozen=True)
class Confusion:
    """Images of one class that were taken for another."""

    label: int
    answer: int
    images: int


@dataclass(frozen=True)
class Bin:
    """Images of a confidence above `low` and up to `high`."""

    low: float
    high: float
    images: int
    confidence: float | None  # the mean of it; None where there are no images
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """Whether a network is right as often as it says."""

    error: float  # the expected calibration error, from 0 to 1
    bins: tuple[Bin, ...]


def share_of(count: int, images: int) -> Share:
    """Return `count` of `images` as a share, with Wilson's interval."""
    low, high = wilson(count, images)
    return Share(count / images if images else 0.0, low, high, count)


def wilson(count: int, images: int) -> tuple[float, float]:
    """Return the interval of a binomial share by Wilson's score (1927), without correction for continuity.

    With z the normal distribution's quantile: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). Unlike the
    usual one it stays within 0 and 1, and says something where nothing, or everything, is right.
    """
    if not images:
        return 0.0, 1.0
    share, z = count / images, _quantile()
    middle = share + z * z / (2 * images)
    away = z * sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    low, high = ((middle + sign * away) / (1 + z * z / images) for sign in (-1, 1))
    return (0.0 if count == 0 else max(0.0, low)), (1.0 if count == images else min(1.0, high))


def class_figures(labels: Indices, answers: Indices, classes: int) -> tuple[ClassFigures, ...]:
    """Return the figures of each class that has images or was answered, the one of the least recall first.

    Of equals the one of more images comes first, and classes without images last.
    """
    support, answered = np.bincount(labels, minlength=classes), np.bincount(answers, minlength=classes)
    right = np.bincount(labels[labels == answers], minlength=classes)
    found = [
        ClassFigures(number, int(support[number]), int(right[number]), int(answered[number]))
        for number in np.flatnonzero(support + answered).tolist()
    ]
    return tuple(sorted(found, key=_worst_first))


def _worst_first(figures: ClassFigures) -> tuple[bool, float, int, int]:
    recall = figures.recall
    return recall is None, recall if recall is not None else 0.0, -figures.support, figures.number


def confusions(labels: Indices, answers: Indices, classes: int) -> tuple[Confusion, ...]:
    """Return which classes were taken for which others, the most images first."""
    wrong = labels != answers
    pairs, counts = np.unique(labels[wrong] * classes + answers[wrong], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return tuple(
        Confusion(*divmod(int(pair), classes), images=int(count))
        for pair, count in zip(pairs[order], counts[order], strict=True)
    )


def calibration(confidence: Shares, right: Right, bins: int = BINS) -> Calibration:
    """Return the expected calibration error over bins of equal width, and the bins, for a reliability diagram.

    Guo et al. 2017 (arXiv 1706.04599), equation 3: the mean over images of |accuracy - confidence| of their bins, where
    confidence is the probability of the answer; the bins are ((m-1)/M, m/M], M = 15.
    """
    edges = np.linspace(0, 1, bins + 1)
    places = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = [np.bincount(places, weights=values, minlength=bins) for values in (confidence, right.astype(np.float64))]
    found = []
    for number, count in enumerate(counts.tolist()):
        means = [float(each[number] / count) if count else None for each in sums]
        found.append(Bin(float(edges[number]), float(edges[number + 1]), count, *means))
    error = float(np.abs(sums[0] - sums[1]).sum() / max(1, len(confidence)))
    return Calibration(error, tuple(found))


@dataclass(frozen=True)
class Paired:
    """Two networks on the same images: what the first has right more often than the second, and whether that is sure.

    Shares are from 0 to 1.
    """

    images: int
    both: int  # right of both
    first_alone: int
    second_alone: int
    difference: float  # of the top-1, first less second
    low: float
    high: float
    p: float  # McNemar's, exact: how probable as much is where both are as good


def paired(first: Right, second: Right) -> Paired:
    """Compare what two networks have right of the same images.

    The interval of the difference is Bonett and Price's adjusted Wald (2012, "Adjusted Wald confidence interval for a
    difference of binomial proportions based on paired data"): one is added to each count of images that one alone has
    right. McNemar's test (1947) is the exact one: those images are heads and tails of a fair coin, two-sided.
    """
    from scipy.special import bdtr

    images = len(first)
    one, other = int((first & ~second).sum()), int((~first & second).sum())
    z, total = _quantile(), images + 2
    shares = (one + 1) / total, (other + 1) / total
    middle = shares[0] - shares[1]
    away = z * sqrt(max(0.0, shares[0] + shares[1] - middle * middle) / total)
    p = min(1.0, 2 * float(bdtr(min(one, other), one + other, 0.5))) if one + other else 1.0
    low, high = max(-1.0, middle - away), min(1.0, middle + away)
    return Paired(images, int((first & second).sum()), one, other, (one - other) / max(1, images), low, high, p)


def _quantile() -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + LEVEL) / 2))
