"""Times several steps interleaved, so that a machine that slows down slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from resnas_deploy.processes import ending
from resnas_deploy.progress import Counted, Progress, silent

Key = TypeVar("Key", bound=Hashable)
Timed = Callable[[], float]  # does its work once and returns the seconds that it took

ROUNDS = "rounds"  # the stage that is counted
REST = 0.003  # seconds between steps, in which the last runtime's waiting threads go to sleep


@dataclass(frozen=True)
class WarmUp:
    """When a step is warm: its rolling median is what it was a window ago. A fixed count would be a guess."""

    window: int = 3  # samples of a rolling median
    tolerance: float = 0.05  # by which the median may still move, relative
    most: int = 30  # rounds, after which a step that has not settled is measured all the same, and said to be unsettled

    @property
    def can_tell(self) -> bool:
        """Whether there may be as many rounds as two windows; without them nothing is said to be unsettled."""
        return self.most >= 2 * self.window

    def settled(self, samples: Sequence[float]) -> bool:
        """Return whether the last two windows have the same median, but for the tolerance."""
        if len(samples) < 2 * self.window:
            return False
        now, before = np.median(samples[-self.window :]), np.median(samples[-2 * self.window : -self.window])
        return bool(abs(now - before) <= self.tolerance * before)


@dataclass(frozen=True)
class Rounds(Generic[Key]):
    """What was timed. Sample i of one step belongs with sample i of another: ratios may be taken round by round."""

    samples: dict[Key, list[float]]  # seconds; as many of each step
    warm_up: int  # rounds before, which do not count
    settled: frozenset[Key]  # the steps whose time had settled by then
    interrupted: bool  # by Ctrl-C: the samples are of the rounds that were whole


def timed(step: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> Timed:
    """Return `step` as one that returns the seconds that pass on a clock until it is done."""

    def once() -> float:
        start = clock()
        step()
        return clock() - start

    return once


def time_interleaved(
    steps: Mapping[Key, Timed],
    runs: int,
    rng: np.random.Generator,
    *,
    warm_up: WarmUp | None = None,
    sleep: Callable[[float], None] = time.sleep,
    progress: Progress = silent,
) -> Rounds[Key]:
    """Time `runs` calls of each step, once all of them are warm.

    Every round calls each step once, in an order drawn anew. `progress` is told of it outside of what is timed.
    """
    warm_up = warm_up or WarmUp()
    samples: dict[Key, list[float]] = {key: [] for key in steps}
    cold: dict[Key, list[float]] = {key: [] for key in steps}
    settled: set[Key] = set()
    rounds, interrupted = 0, False
    try:
        while len(settled) < len(steps) and rounds < warm_up.most:
            rounds += 1
            progress(f"warm-up, {len(settled)} of {len(steps)} configurations have settled")
            _round(steps, cold, rng, sleep)
            settled |= {key for key, times in cold.items() if warm_up.settled(times)}
        for number in range(runs):
            text = f"round {number + 1} of {runs}, each of {len(steps)} configurations"
            progress(Counted(text, number, runs, stage=ROUNDS))
            _round(steps, samples, rng, sleep)
    except KeyboardInterrupt:
        ending.taken()
        interrupted = True
    whole = min(map(len, samples.values()), default=0)
    return Rounds({key: times[:whole] for key, times in samples.items()}, rounds, frozenset(settled), interrupted)


def _round(
    steps: Mapping[Key, Timed],
    samples: dict[Key, list[float]],
    rng: np.random.Generator,
    sleep: Callable[[float], None],
) -> None:
    keys = list(steps)
    for index in rng.permutation(len(keys)):
        sleep(REST)
        samples[keys[index]].append(steps[keys[index]]())
