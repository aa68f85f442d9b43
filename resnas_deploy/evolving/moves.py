"""Ranges moved towards the gain: the worst end goes, and one step further at the good end comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from resnas_deploy.arch.cost import macs
from resnas_deploy.arch.mixer import mixer_named
from resnas_deploy.arch.space import SearchSpace, StageSpace
from resnas_deploy.errors import BadInput
from resnas_deploy.evolving.dimensions import BLOCK_SIZES, BLOCKS, WIDTH, Dimension, Values, sizes, values
from resnas_deploy.evolving.effects import Effect
from resnas_deploy.searching.costs import CostLimits

_FEWEST = 2  # values that a range keeps: of a single one no effect is ever seen again


@dataclass(frozen=True)
class Bounded:
    """What a space may come to."""

    limits: CostLimits  # on its subnets
    most_macs: float  # of its widest subnet


@dataclass(frozen=True)
class Move:
    """What became of a dimension, and why."""

    effect: Effect
    before: Values
    after: Values
    why: str

    @property
    def moved(self) -> bool:
        """Tell whether it is another range than before."""
        return self.before != self.after


class _Blocked(Exception):
    """Why a range cannot be moved."""


def moves(space: SearchSpace, found: Sequence[Effect], bounded: Bounded) -> tuple[SearchSpace, tuple[Move, ...]]:
    """Return the space with every range moved whose gain is beyond its interval, and what became of each.

    The surest gain comes first. A range that another one blocks is tried again once that has moved.
    """
    now, why = space, dict[Dimension, str]()
    sure = [effect for effect in found if effect.gain.sign]
    waiting = sorted(sure, key=lambda effect: -abs(effect.gain.value) / (effect.gain.high - effect.gain.low))
    going_on = True
    while waiting and going_on:
        still = list[Effect]()
        for effect in waiting:
            try:
                now, why[effect.dimension] = _moved(now, effect, bounded)
            except _Blocked as error:
                why[effect.dimension] = str(error)
                still.append(effect)
        going_on, waiting = len(still) < len(waiting), still
    for effect in waiting:  # what cannot grow may still lose its worst end
        try:
            now, why[effect.dimension] = _without_the_worst(now, effect, bounded, why[effect.dimension])
        except _Blocked as error:
            why[effect.dimension] = str(error)
    none = "no gain beyond its interval"
    return now, tuple(
        Move(effect, values(space, effect.dimension), values(now, effect.dimension), why.get(effect.dimension, none))
        for effect in found
    )


def stayed(space: SearchSpace, found: Sequence[Effect], why: str) -> tuple[Move, ...]:
    """Return that every range stays as it is."""
    return tuple(Move(effect, *(values(space, effect.dimension),) * 2, why) for effect in found)


def _moved(space: SearchSpace, effect: Effect, bounded: Bounded) -> tuple[SearchSpace, str]:
    """Return the space with one range moved by a step, and why. Raise `_Blocked`."""
    dimension, up = effect.dimension, effect.gain.sign > 0
    if dimension.mixer:
        return _without_the_mixer(space, dimension, bounded, up=up)
    found = sizes(space, dimension)
    further = 2 * found[-1] - found[-2] if up else 2 * found[0] - found[1]
    if further < 1:
        raise _Blocked(f"less is better, and a step below {found[0]} is none")
    kept = found[1:] if up else found[:-1]
    moved = _with(space, dimension, tuple(sorted((*kept, further))))
    if up:
        _check_bounds(moved, dimension, bounded)
    return moved, f"{'more' if up else 'less'} is better"


def _without_the_mixer(
    space: SearchSpace, dimension: Dimension, bounded: Bounded, *, up: bool
) -> tuple[SearchSpace, str]:
    """Return the space without a mixer that gains less than the others. Raise `_Blocked`."""
    if up:
        raise _Blocked("better than the others of the stage")
    number = dimension.stage - 1
    stage, side = space.stages[number], space.side(number)
    gone = mixer_named(dimension.mixer).at(side)  # under every name that it has on this grid
    mixers = tuple(mixer for mixer in stage.mixers if mixer_named(mixer).at(side) != gone)
    if not mixers:
        raise _Blocked("worse than the others, which are gone")
    left = replace(stage, mixers=mixers)
    moved = replace(space, stages=(*space.stages[:number], left, *space.stages[number + 1 :]))
    if _leaves(moved, space, bounded):
        raise _Blocked("worse than the others, but without it no subnet of the space would be within the limits")
    return moved, "worse than the others of the stage"


def _leaves(moved: SearchSpace, space: SearchSpace, bounded: Bounded) -> bool:
    """Tell whether a space has no subnet within the limits, where the one before had some."""
    return bounded.limits.met_in(space) and not bounded.limits.met_in(moved)


def _without_the_worst(space: SearchSpace, effect: Effect, bounded: Bounded, why: str) -> tuple[SearchSpace, str]:
    """Return the space with the worst end of a range dropped, which could not be moved for a reason."""
    if effect.dimension.mixer:
        raise _Blocked(why)
    found, up = sizes(space, effect.dimension), effect.gain.sign > 0
    if len(found) <= _FEWEST:
        raise _Blocked(why)
    moved = _with(space, effect.dimension, found[1:] if up else found[:-1])
    if _leaves(moved, space, bounded):
        raise _Blocked(why)
    return moved, f"{why}; {found[0] if up else found[-1]} was dropped"


def _check_bounds(space: SearchSpace, dimension: Dimension, bounded: Bounded) -> None:
    """Raise `_Blocked` where the space is too large, or no subnet with what is new would be within the limits."""
    most = macs(space.widest().arch)
    if most > bounded.most_macs:
        raise _Blocked(
            f"more is better, but the widest subnet would have {most / 1e6:.4g} M MACs, above the "
            f"{bounded.most_macs / 1e6:.4g} M that the space may grow to"
        )
    largest = sizes(space, dimension)[-1]
    if not bounded.limits.met_in(_with(space, dimension, (largest,))):
        raise _Blocked(f"more is better, but no subnet with {largest} would be within the limits")
    if not bounded.limits.met_in(space):
        raise _Blocked("more is better, but no subnet of the space would be within the limits")


def _with(space: SearchSpace, dimension: Dimension, wanted: tuple[int, ...]) -> SearchSpace:
    """Return the space with other values of a dimension, ascending. Raise `_Blocked` where there is no such space."""
    try:
        if not dimension.stage:
            return replace(space, stem_mid_widths=_ordered(wanted, space.stem_mid_widths))
        number = dimension.stage - 1
        stages = list(space.stages)
        stages[number] = _stage_with(stages[number], dimension.what, wanted)
        return replace(space, stages=tuple(stages))
    except BadInput as error:
        raise _Blocked(f"there is no such space: {error}") from None


def _stage_with(stage: StageSpace, what: str, wanted: tuple[int, ...]) -> StageSpace:
    if what == BLOCKS:
        return _with_blocks(stage, wanted[0], wanted[-1])
    name = "widths" if what == WIDTH else BLOCK_SIZES[what][0]
    return replace(stage, **{name: _ordered(wanted, getattr(stage, name))})  # type: ignore[arg-type]  # it has the choices


def _with_blocks(stage: StageSpace, fewest: int, most: int) -> StageSpace:
    """Return the stage with so many blocks, of which a subnet has so many at least.

    Positions come and go at the end. New ones are droppable; then the first droppable ones are kept for good, or the
    last fixed ones become droppable, until the fewest are right.
    """
    droppable = {place for place in stage.droppable if place <= most} | set(range(stage.blocks + 1, most + 1))
    while len(droppable) > most - fewest:
        droppable.remove(min(droppable))
    while len(droppable) < most - fewest:
        droppable.add(max(set(range(1, most + 1)) - droppable))
    return replace(stage, blocks=most, droppable=tuple(sorted(droppable)))


def _ordered(wanted: tuple[int, ...], like: tuple[int, ...]) -> tuple[int, ...]:
    """Return values ascending, or the largest first where the others are."""
    return tuple(sorted(wanted, reverse=like[0] == max(like)))
