"""From an image to its likeliest classes, on a runner that is open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.runners.base import Images, Runner


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


def classify(
    runner: Runner, image: Images, least: int, top: int, names: tuple[str, ...] | None
) -> tuple[Guess, ...] | None:
    """Return the `top` likeliest classes of one image, as the network takes it, or None where a logit is not finite.

    The likeliest comes first. The image is repeated to the least batch that the network takes.
    """
    logits = runner.run(np.repeat(image[None], least, axis=0))[OUTPUT][0].astype(np.float64)
    if not np.isfinite(logits).all():
        return None
    shares = softmax(logits)
    best = (int(number) for number in np.argsort(-shares, kind="stable")[:top])
    return tuple(Guess(number, names[number] if names else None, float(shares[number])) for number in best)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities of logits, over the last axis."""
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    total: NDArray[np.float64] = shares / shares.sum(-1, keepdims=True)
    return total
