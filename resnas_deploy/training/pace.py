"""How fast a run is, and how long it will take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_STEPS = 50  # that the speed is of


class Pace:
    """Images a second over the last steps, and what is left."""

    def __init__(self, batch: int, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._batch, self._total, self._clock = batch, total, clock
        self._times: deque[float] = deque([clock()], maxlen=_STEPS)
        self._done = 0

    def add(self, done: int) -> None:
        """So many steps are done now."""
        self._done = done
        self._times.append(self._clock())

    @property
    def images_per_second(self) -> float:
        """Over all processes."""
        passed = self._times[-1] - self._times[0]
        return self._batch * (len(self._times) - 1) / passed if passed > 0 else 0.0

    def __str__(self) -> str:
        rate = self.images_per_second
        left = (self._total - self._done) * self._batch / rate if rate else 0.0
        return f"{rate:.0f} images/s, {left / 60:.1f} minutes left"
