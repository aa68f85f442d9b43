"""The share of time that each kind of block takes, from a runtime's own profile."""

from __future__ import annotations

import re
from collections.abc import Mapping

from resnas_deploy.engines.opening import open_runner
from resnas_deploy.images.preprocessing import noise
from resnas_deploy.runners.base import Network, Options, RunnerKind

KINDS = ("stem", "attention", "MLP", "reduction", "head", "other")
RUNS = 10
_BLOCK = re.compile(r"stage\d+\.block\d+\.(norm1|attention|norm2|mlp)?")
_PARTS = {"norm1": "attention", "attention": "attention", "norm2": "MLP", "mlp": "MLP"}


def shares(network: Network, kind: RunnerKind, batch: int, options: Options) -> dict[str, float] | None:
    """Shares of one pass by `KINDS`, which sum to 1; None where the runtime or the network cannot tell.

    `options` must ask for a profile. The runtime runs a little slower while it takes one.
    """
    with open_runner(kind, network, options) as runner:
        images = noise(batch, network.image_size)
        runner.run(images)  # what happens once does not count
        return by_kind(runner.profile(images, RUNS))


def by_kind(seconds: Mapping[str, float]) -> dict[str, float] | None:
    """Sum the seconds of operations by the kind of block that their names begin with, and divide by the whole."""
    total = dict.fromkeys(KINDS, 0.0)
    for name, time in seconds.items():
        total[kind_of(name)] += time
    whole = sum(total.values())
    if whole == total["other"]:  # not our names, or none at all
        return None
    return {kind: time / whole for kind, time in total.items()}


def kind_of(name: str) -> str:
    """The kind of block that an operation belongs to. Norms belong to what reads them."""
    if block := _BLOCK.match(name):
        return _PARTS.get(block[1] or "", "other")
    return next((kind for kind in ("stem", "reduction", "head") if name.startswith(kind)), "other")
