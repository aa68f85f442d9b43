"""A search space of networks that run in a millisecond, and made-up measurements of them.

Run as a program it is `resnas` with that space, `mini`, beside the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.store import Sampled, Setting
from resnas_deploy.weights.space_files import packaged_spaces

MINI = SearchSpace(
    "mini",
    (
        StageSpace((16, 12, 8), (2, 1), (4,), (24, 16, 8), 4, (2, 4)),
        StageSpace((24, 20, 16), (2, 1), (8,), (48, 32, 16), 4, (2, 4)),
        StageSpace((32, 28, 24), (3, 2, 1), (8,), (64, 48, 32), 4, (2, 4)),
    ),
    classes=10,
    image_size=112,
)
_ONLY = StageSpace((8,), (1,), (4,), (8,), 2, (2,))
EIGHT = SearchSpace("eight", (_ONLY,) * 3, classes=10, image_size=112)  # that many networks it has

SETTING = Setting("machine", "ort-cpu", "onnxruntime 1", "cpu", "fp32", 1, 2)
ANCHOR_S = 0.002


def drawn(space: SearchSpace, count: int, seed: int = 0) -> list[ArchSpec]:
    """Random networks of a space."""
    rng = np.random.default_rng(seed)
    return [space.sample(rng).arch for _ in range(count)]


def sampled(arch: ArchSpec, ratio: float = 1.5) -> Sampled:
    """A measurement without noise."""
    return Sampled(arch, (ANCHOR_S * ratio,) * 6, (ANCHOR_S,) * 6)


def truth(space: SearchSpace = MINI) -> np.ndarray:
    """Weights of the terms that a made-up machine has: each term gives about as much as any other."""
    terms = Terms.of_space(space).of(drawn(space, 200, seed=99))
    return np.linspace(0.02, 0.12, terms.shape[1]) / terms.mean(axis=0)


def measured(archs: Sequence[ArchSpec], weights: np.ndarray, space: SearchSpace = MINI) -> list[Sampled]:
    """What that machine would take."""
    ratios = Terms.of_space(space).of(archs) @ weights
    return [sampled(arch, float(ratio)) for arch, ratio in zip(archs, ratios, strict=True)]


if __name__ == "__main__":
    from resnas_deploy.cli.app import main

    packaged_spaces()[MINI.name] = MINI
    main()
