"""What a search for throughput may take, and which settings there are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnas_deploy.batch import BatchRange
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.plan import MOST_STREAMS, ThroughputSetting
from resnas_deploy.measuring.throughput import MINUTES

SEARCHING = 0.55  # of the time; the rest measures the best beside what they are compared with
MOST_SETTINGS = 40  # that are timed of an artifact on a runner
MOST_ON_GPU = 8  # streams: sessions that wait for one GPU
FIRST_BATCH = 8  # where the search begins
LARGEST_BATCH = 256  # that is tried where none is named


@dataclass(frozen=True)
class Limits:
    """What a search may take, and what its best must keep."""

    minutes: float = MINUTES
    latency_ms: float | None = None  # that 99 of 100 batches must stay within
    settings: int = MOST_SETTINGS

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise BadInput(f"`minutes` must be more than 0, found {self.minutes:g}")
        if self.latency_ms is not None and not 0 < self.latency_ms < math.inf:
            raise BadInput(f"`latency_limit` must be more than 0 ms, found {self.latency_ms:g}")

    @property
    def seconds(self) -> float:
        """The seconds of the whole search."""
        return 60 * self.minutes


@dataclass(frozen=True)
class Choices:
    """The settings that a subject may have."""

    cores: int  # that all streams share
    batches: tuple[int, ...]  # in rising order
    on_gpu: bool = False

    @property
    def one(self) -> ThroughputSetting:
        """One stream with every thread at the smallest batch: what everything is compared with."""
        return ThroughputSetting(1, self.cores, self.batches[0])

    @property
    def first_batch(self) -> int:
        """The batch at which the search begins."""
        return min(self.batches, key=lambda batch: (abs(math.log2(batch / FIRST_BATCH)), batch))

    def streams(self) -> tuple[int, ...]:
        """Return numbers of streams in rising order: 1, 2, 3, 4, 6, 8, 12 .. up to twice the cores."""
        most = min(MOST_ON_GPU if self.on_gpu else max(2, 2 * self.cores), MOST_STREAMS)
        steps = sorted({2**power for power in range(7)} | {3 * 2**power for power in range(6)} | {self.cores})
        return tuple(number for number in steps if number <= most)

    def threads(self, streams: int) -> tuple[int, ...]:
        """Return the threads that each of so many streams may have, an equal share of the cores first."""
        share = max(1, self.cores // streams)
        if self.on_gpu:
            return (share,)
        found = (share, share // 2, min(2 * share, self.cores))
        return tuple(dict.fromkeys(number for number in found if number >= 1))


def batches_for(taken: BatchRange, named: tuple[int, ...]) -> tuple[int, ...]:
    """Return the batch sizes to search: those named, or powers of two that a network takes, and its smallest."""
    if named:
        return tuple(sorted(set(named)))
    powers = {2**power for power in range(LARGEST_BATCH.bit_length()) if 2**power in taken}
    return tuple(sorted(powers | {taken.least}))
