"""How fast the stages of long work go, and how long each will still take, by a clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from resnas_deploy.progress import Counted
from resnas_deploy.units import duration

_LEAST_S = 1.0  # of a stage before its pace says anything
_WORTH_TELLING = 2.0  # seconds that are left


@dataclass
class _Stage:
    """A counted stage that goes on: where and when it was first heard of, and how far it is."""

    name: str
    total: float
    first: float  # done when it was first heard of: a run that is resumed does not begin at 0
    began: float  # when that was, in seconds
    done: float
    heard: float  # when so much was done

    @property
    def pace(self) -> float:
        """Return how much is done a second; 0 before that can be told."""
        seconds = self.heard - self.began
        return (self.done - self.first) / seconds if seconds >= _LEAST_S else 0.0


class Stages:
    """What is being done, and what is known of its pace."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stage: _Stage | None = None
        self.text = ""

    @property
    def stage(self) -> str:
        """Return the name of what goes on: that of a counted stage, or the text itself."""
        return self._stage.name if self._stage else self.text

    def hear(self, text: str) -> None:
        """Take what is told."""
        self.text, now = text, self._clock()
        if not isinstance(text, Counted):
            self._stage = None
            return
        same = self._stage
        if same is None or (same.name, same.total) != (text.stage, text.total) or text.done < same.done:
            self._stage = _Stage(text.stage, text.total, text.done, now, text.done, now)
        elif text.done > same.done:  # what is told meanwhile says nothing of the pace
            same.done, same.heard = text.done, now

    @property
    def share(self) -> float | None:
        """Return how much is done, from 0 to 1; None where nobody counts."""
        return min(self._stage.done / self._stage.total, 1.0) if self._stage and self._stage.total else None

    def details(self) -> str:
        """Return the rate and what is left, each after a comma, as far as they are known."""
        if not (isinstance(self.text, Counted) and self._stage and self._stage.pace > 0) or self.text.tells_left:
            return ""
        pace = self._stage.pace
        found = f", {pace:,.0f} {self.text.unit}/s" if self.text.unit and pace >= 1 else ""
        since = self._clock() - self._stage.heard
        left = (self._stage.total - self._stage.done) / pace - since
        return f"{found}, about {duration(left)} left" if left >= _WORTH_TELLING else found
