"""Shaping a space: measure each of its lists by itself, decide what stays, and see that the widest subnet may be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.measuring.latency.store import LatencyStore
from resnas_deploy.measuring.machine.conditions import watch
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.measuring.statistics import Interval
from resnas_deploy.processes import ending
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.shaping.candidates import MIXERS, Dimension, dimensions
from resnas_deploy.shaping.costs import Costs, Kernels, Times
from resnas_deploy.shaping.counted import Builder, Counting
from resnas_deploy.shaping.decided import Decided, left
from resnas_deploy.shaping.measured import Timing
from resnas_deploy.shaping.pieces import piece
from resnas_deploy.shaping.result import Shaping
from resnas_deploy.shaping.rules import no_more

WIDEST = "the widest subnet"
_KERNELS_SAY = (
    "kernels were counted and no time was measured: a size is dropped only where a wider one has fewer of them; what "
    "is misaligned within a kernel is not seen, and mixers stay as they are"
)


def shape_by_time(
    space: SearchSpace,
    setup: Setup,
    store: Path,
    *,
    name: str,
    openings: int,
    within: float,
    minutes: float,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
) -> Shaping:
    """Time the pieces of a space on this device and return the space that is left.

    What is measured is kept in the store at once. Ctrl-C, or the end of the minutes, leaves the lists that were not
    measured as they were, and the result says so. Raise `BadInput` and what a store raises that cannot be written.
    """
    began, since = clock(), watch()
    wanted = dimensions(space)
    with LatencyStore(store) as opened, opened.measuring():
        timing = Timing(opened, space, setup, setup.setting(), openings, began + 60 * minutes, progress, clock)
        total = sum(len(each.values) > 1 for each in wanted) * openings + openings
        found, interrupted = _each(wanted, lambda each, before: _timed(timing, each, before, total))
        widest, notes = None, list[str]()
        if not interrupted:
            try:
                found, widest, notes = _checked(found, space, timing, within, total)
            except KeyboardInterrupt:
                ending.taken()
                interrupted = True
        if interrupted:
            found = [each.within_widest() for each in found]
    return Shaping(
        before=space,
        space=left(space, found, name),
        dimensions=tuple(each.shaped(space) for each in found),
        machine=this_machine(usable_cores()),
        setting=timing.setting,
        counted=None,
        openings=openings,
        within=within,
        widest=widest,
        notes=(*since().throttled(), *notes, *_unmeasured(found, interrupted)),
        measured_now=timing.measured_now,
        seconds=clock() - began,
        interrupted=interrupted,
    )


def shape_by_kernels(
    space: SearchSpace,
    builder: Builder,
    file: Path,
    *,
    name: str,
    minutes: float,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
) -> Shaping:
    """Count the kernels of the pieces of a space and return the space that is left: never wider than it was.

    What is counted is kept in the file at once. Raise `BadInput` for what the builder refuses.
    """
    began = clock()
    counting = Counting(builder, file, began + 60 * minutes, progress, clock)
    # Of mixers the one that costs less time has more kernels.
    wanted = [Decided(each, None).within_widest().dimension for each in dimensions(space) if each.name != MIXERS]
    total = sum(len(each.values) for each in wanted if len(each.values) > 1)
    found, interrupted = _each(wanted, lambda each, before: _counted(counting, each, space, before, total))
    return Shaping(
        before=space,
        space=left(space, found, name),
        dimensions=tuple(each.shaped(space) for each in found),
        machine=None,
        setting=None,
        counted=builder.setting,
        openings=1,
        within=1.0,
        widest=None,
        notes=(_KERNELS_SAY, *_unmeasured(found, interrupted)),
        measured_now=counting.measured_now,
        seconds=clock() - began,
        interrupted=interrupted,
    )


_Measure = Callable[[Dimension, int], Costs | None]  # (.., how many dimensions were measured before)


def _each(wanted: Sequence[Dimension], measure: _Measure) -> tuple[list[Decided], bool]:
    """Measure the dimensions one after the other, and say whether Ctrl-C ended it: the rest then stays as it was."""
    found: list[Decided] = []
    number = 0
    try:
        for each in wanted:
            found.append(Decided(each, measure(each, number) if len(each.values) > 1 else None))
            number += len(each.values) > 1
    except KeyboardInterrupt:
        ending.taken()
        return [*found, *(Decided(each, None) for each in wanted[len(found) :])], True
    return found, False


def _timed(timing: Timing, dimension: Dimension, number: int, total: int) -> Times | None:
    archs = {value: piece(timing.space, dimension, value) for value in dimension.values}
    timed = timing.time(tuple(archs.values()), dimension.where, number * timing.openings, total)
    return Times(archs, timed) if timed.openings == timing.openings else None


def _counted(counting: Counting, dimension: Dimension, space: SearchSpace, number: int, total: int) -> Kernels | None:
    archs = {value: piece(space, dimension, value) for value in dimension.values}
    counts = counting.count(tuple(archs.values()), dimension.where, number, total)
    return Kernels(archs, counts) if len(counts) == len(archs) else None


def _checked(
    found: list[Decided], space: SearchSpace, timing: Timing, within: float, total: int
) -> tuple[list[Decided], Interval | None, list[str]]:
    """See that the widest subnet takes no longer than it may, and take back what made it wider until it does not.

    Return what is left of the decisions, the widest's time over that of before, and what must be said.
    """
    notes: list[str] = []
    while grown := [number for number, each in enumerate(found) if each.grown]:
        pair = space.widest().arch, left(space, found, space.name).widest().arch
        timed = timing.time(pair, WIDEST, total - timing.openings, total)
        if timed.openings < timing.openings:
            notes.append(f"{WIDEST} was not measured in the time: nothing wider than before was added")
            return [each.within_widest() for each in found], None, notes
        if no_more(ratio := timed.ratio(pair[1], pair[0]), within):
            return found, ratio, notes
        worst = max(grown, key=lambda number: _growth(found[number]))
        notes.append(
            f"{found[worst].dimension.where} {found[worst].widest} was not added: {WIDEST} would have "
            f"cost {ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f}) of before, more than within {within:g}"
        )
        found[worst] = found[worst].within_widest()
    return found, None, notes


def _growth(decided: Decided) -> float:
    """Return what the widest value of a dimension takes over the widest of before."""
    ratio = decided.costs.ratio(decided.widest, decided.dimension.choices[0]) if decided.costs else None
    return ratio.value if ratio else 1.0


def _unmeasured(found: Sequence[Decided], interrupted: bool) -> Iterator[str]:
    missing = [each for each in found if each.costs is None and len(each.dimension.values) > 1]
    if missing:
        why = "it was interrupted" if interrupted else "the `minutes` were over"
        yield f"{len(missing)} of {len(found)} lists stay as they were, for {why}: the same call goes on with them"
