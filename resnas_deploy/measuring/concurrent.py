"""Several sessions of a network at once, for throughput: each in a thread of its own, batches back to back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

BATCHES = 4  # of each stream in one sample: the fewer, the more of the time passes while streams wait for each other

Step = Callable[[], object]


class Streams:
    """One thread a stream. Calling it runs `BATCHES` batches on each and waits for all."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._pool = ThreadPoolExecutor(len(steps), thread_name_prefix="stream")

    def __call__(self) -> None:
        list(self._pool.map(_run, self._steps))  # which raises what a stream raised

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _run(step: Step) -> None:
    for _ in range(BATCHES):
        step()
