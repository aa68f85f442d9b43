"""Spaces of one list or few, and stores with made-up times of their pieces."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.measuring.latency.setup import Setting, Setup
from resnas_deploy.measuring.latency.store import LatencyStore, Sampled
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.shaping.candidates import Dimension, Value, dimensions
from resnas_deploy.shaping.measured import purpose_of
from resnas_deploy.shaping.pieces import piece

SETUP = Setup(RUNNERS["ort-cpu"], "fp32", 1, 1)
ROUNDS = 8


@cache
def setting() -> Setting:
    """That of `SETUP` here, asked once: to find a runtime's version takes a second."""
    return SETUP.setting()


def little(**first: tuple[Value, ...]) -> SearchSpace:
    """A space of two stages whose first has these lists, and nothing else to choose or to add."""
    lists = {"widths": (32,), "heads": (1,), "head_dims": (32,), "hidden": (32,)} | first
    return SearchSpace(
        "little",
        (StageSpace(**lists, blocks=2, droppable=(2,)), StageSpace((32,), (1,), (32,), (32,), 1)),
        classes=3,
        image_size=16,
        patch_size=4,
        stem_mid_widths=(32,),
    )


def chosen(space: SearchSpace) -> Dimension:
    """The one dimension of a space that has several values."""
    (found,) = (each for each in dimensions(space) if len(each.values) > 1)
    return found


def fill(path, space: SearchSpace, times: Mapping[Value, float], openings: int = 3, noise: float = 0.0) -> None:
    """Keep milliseconds of each value of the one dimension, the narrower the more off, up and down in turn."""
    dimension = chosen(space)
    archs = [piece(space, dimension, value) for value in dimension.values]
    with LatencyStore(path) as store:
        for opening in range(openings):
            rows = []
            for place, (value, arch) in enumerate(zip(dimension.values, archs, strict=True)):
                off = 1 + noise * place * (-1) ** opening
                rows.append(Sampled(arch, (1e-3 * times[value] * off,) * ROUNDS, (1e-3,) * ROUNDS))
            store.add(setting(), space, purpose_of(archs), opening, rows)
