"""Timing several steps in turns, so that a machine that slows down slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

Key = TypeVar("Key", bound=Hashable)
Step = Callable[[], object]

REST = 0.003  # seconds between steps, in which the last runtime's waiting threads go to sleep


def interleaved(
    steps: Mapping[Key, Step],
    runs: int,
    warm_up: int,
    rng: np.random.Generator,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
    *,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[Key, list[float]]:
    """Seconds of `runs` calls of each step, after `warm_up` calls that do not count.

    Every round calls each step once, in an order drawn anew, so that sample i of one step belongs with sample i of
    another: ratios may be taken round by round. `tell` hears of every round, outside of what is timed.
    """
    samples: dict[Key, list[float]] = {key: [] for key in steps}
    keys = list(steps)
    for turn in range(warm_up + runs):
        tell(f"round {turn + 1} of {warm_up + runs}, each of {len(keys)} configurations")
        for index in rng.permutation(len(keys)):
            key = keys[index]
            sleep(REST)
            start = clock()
            steps[key]()
            elapsed = clock() - start
            if turn >= warm_up:
                samples[key].append(elapsed)
    return samples
