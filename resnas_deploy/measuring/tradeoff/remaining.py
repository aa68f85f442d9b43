"""How long a comparison still takes: told once its first round is over, and better with every part that is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from resnas_deploy.progress import Counted, Progress

_WARM_UP = "warm-up"  # in what is told at the beginning of each round before those that count
_LEAST_WARM_UP = 2  # rounds


@dataclass
class Remaining:
    """The parts of a run, of so many rounds each, and the clock that they are timed by, in seconds."""

    parts: int
    rounds: float
    clock: Callable[[], float] = time.monotonic
    _began: float = field(init=False)
    _first: float | None = field(init=False, default=None)  # when the first round began
    _whole: float | None = field(init=False, default=None)  # seconds of everything, as the first round tells
    _done: int = field(init=False, default=0)  # parts, when the last one ended
    _ended: float = field(init=False, default=0.0)  # when that was

    def __post_init__(self) -> None:
        self._began = self.clock()

    def telling(self, done: int, progress: Progress) -> Progress:
        """Return a listener that tells of a part, after `done` others, with what is left."""

        def tell(text: str) -> None:
            if _WARM_UP in text and self._whole is None:
                self._look()
            left = self._left(done)
            heading = f"part {done + 1} of {self.parts}{f', about {left} left' if left else ''}: "
            progress(Counted(heading + text, done, self.parts, stage="parts", tells_left=bool(left)))

        return tell

    def _look(self) -> None:
        """Take the time of the first round, which is a little slow, for that of all."""
        now = self.clock()
        if self._first is None:
            self._first = now
        else:
            loading = self._first - self._began
            self._whole = self.parts * (loading + (now - self._first) * (self.rounds + _LEAST_WARM_UP))

    def _left(self, done: int) -> str:
        """Return what is left, in words; empty before anything tells."""
        gone = self.clock() - self._began
        if done:
            seconds = max(0.0, self._part_s(done) * self.parts - gone)
        elif self._whole is not None:
            seconds = max(0.0, self._whole - gone)
        else:
            return ""
        return f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} s"

    def _part_s(self, done: int) -> float:
        """Return the seconds of a part: the mean of those that are done, until the last one ended."""
        if done != self._done:
            self._done, self._ended = done, self.clock()
        return (self._ended - self._began) / done
