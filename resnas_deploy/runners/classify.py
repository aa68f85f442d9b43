"""From the logits of images to their likeliest classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Guess:
    """A class, its name where the network has names, and the probability that the network gives it, 0 to 1."""

    number: int
    name: str | None
    probability: float

    def __str__(self) -> str:
        return f"{self.name} ({self.number})" if self.name is not None else f"class {self.number}"

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {"class": self.number, "name": self.name, "probability": self.probability}


def guesses(logits: NDArray[np.float32], top: int, names: tuple[str, ...] | None) -> Iterator[tuple[Guess, ...] | None]:
    """Yield the `top` likeliest classes of each image, of logits `(B, classes)`, or None where one is not finite.

    The likeliest comes first, and of equal ones the first.
    """
    for row in logits.astype(np.float64):
        if not np.isfinite(row).all():
            yield None
            continue
        shares = softmax(row)
        best = _largest(shares, top)
        yield tuple(Guess(number, names[number] if names else None, float(shares[number])) for number in best)


def _largest(shares: NDArray[np.float64], top: int) -> list[int]:
    """Return the places of the largest values, the largest first, of equal ones the first first: not all are sorted."""
    least = np.partition(shares, -top)[-top] if top < len(shares) else 0
    places = np.flatnonzero(shares >= least)
    largest: list[int] = places[np.argsort(-shares[places], kind="stable")][:top].tolist()
    return largest


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of logits, over the last axis."""
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    total: NDArray[np.float64] = shares / shares.sum(-1, keepdims=True)
    return total
