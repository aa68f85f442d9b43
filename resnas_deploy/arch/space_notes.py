"""What is odd about a search space, though nothing about it is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from resnas_deploy.arch.mixer import Mixer, mixer_named
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.arch.space_size import count_subnets

_LIKED = 8  # matrix units take whole multiples of it in half precision
_UNLIKED = f"no multiple of {_LIKED}, which GPUs like in half precision"


def oddities(space: SearchSpace) -> list[str]:
    """Return a sentence for each."""
    return list(_notes(space))


def _notes(space: SearchSpace) -> Iterator[str]:
    if count_subnets(space) == 1:
        yield "it has one subnet: there is nothing to search"
    if odd := _uneven(space.stem_mid_widths):
        yield f"stem_mid_widths {_listed(odd)}: {_UNLIKED}"
    for number, stage in enumerate(space.stages):
        for name, sizes in _sizes(stage).items():
            if odd := _uneven(sizes):
                yield f"stages[{number}].{name} {_listed(odd)}: {_UNLIKED}"
        yield from _of_mixers(stage, number, space.side(number))
    if space.widest().full.last_side == 1:
        yield "the last stage has a single patch token: CutMix, which mixes images by that grid, mixes nothing"


def _of_mixers(stage: StageSpace, number: int, side: int) -> Iterator[str]:
    grid, own = f"its grid of {side} x {side}", [mixer_named(name) for name in stage.mixers]
    same: dict[Mixer, list[Mixer]] = {}
    for mixer in own:
        if mixer.at(side) != mixer:
            same.setdefault(mixer.at(side), []).append(mixer)
    for smaller, mixers in same.items():
        yield f"stages[{number}].mixers {_listed(mixers)}: on {grid} no other than {smaller}"
    cut = [mixer for mixer in own if mixer.at(side) == mixer != Mixer() and side % mixer.size]
    if cut:
        yield f"stages[{number}].mixers {_listed(cut)}: no divisor of {grid}, whose last windows or cells are cut"


def _sizes(stage: StageSpace) -> dict[str, tuple[int, ...]]:
    return {"widths": stage.widths, "head_dims": stage.head_dims, "hidden": stage.hidden}


def _uneven(sizes: tuple[int, ...]) -> list[int]:
    return [size for size in sizes if size % _LIKED]


def _listed(sizes: Sequence[object]) -> str:
    return ", ".join(map(str, sizes))
