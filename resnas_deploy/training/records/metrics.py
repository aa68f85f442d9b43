"""A run's figures as they come, in JSON lines and to trackers that were asked for; and its speed."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from resnas_deploy.errors import BadInput
from resnas_deploy.files.atomic import atomic_file, write_errors
from resnas_deploy.files.reading import opened, parse_json
from resnas_deploy.training.records.tracking import Trackers

Item = TypeVar("Item")

FILE = "metrics.jsonl"
_LONGEST = 10_000  # bytes of a line
_STEPS = 50  # that the speed is of


class Metrics:
    """A context manager that appends to a run's folder. Lines of steps that are taken again are dropped."""

    def __init__(
        self,
        folder: Path,
        first_step: int,
        trackers: Trackers | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._trackers, self._clock = trackers, clock
        path = folder / FILE
        try:
            with atomic_file(path) as partial, partial.open("wb") as kept:
                kept.writelines(line for line in _lines(path) if _figures(line).get("step", math.inf) <= first_step)
            self._path, self._file = path, path.open("a", encoding="utf-8")
        except BaseException:
            if trackers:
                trackers.close(finished=False)  # what they have begun
            raise

    def add(self, step: int, figures: Mapping[str, float]) -> None:
        """Add the figures after so many steps, with the time of day in seconds since 1970. Raise `StorageError`."""
        with write_errors(self._path):
            self._file.write(json.dumps({"step": step, "time": round(self._clock(), 3), **figures}) + "\n")
            self._file.flush()
        if self._trackers:
            self._trackers.add(step, figures)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of what could not be written, which has been said
            self._file.close()
        if self._trackers:
            self._trackers.close(finished=kind is None)


class Pace:
    """Images a second over the last steps, and how much time is left."""

    def __init__(self, batch: int, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._batch, self._total, self._clock = batch, total, clock
        self._times: deque[float] = deque([clock()], maxlen=_STEPS)
        self._waits: deque[float] = deque([0.0], maxlen=_STEPS)  # in all, at those times
        self._waited, self._done = 0.0, 0

    def add(self, done: int) -> None:
        """Note that so many steps are done now."""
        self._done = done
        self._times.append(self._clock())
        self._waits.append(self._waited)

    def timed(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield what comes, and count how long it is waited for."""
        while True:
            start = self._clock()
            item = next(items, None)
            self._waited += self._clock() - start
            if item is None:
                return
            yield item

    @property
    def waiting(self) -> float:
        """The share of the time that was spent waiting for data, from 0 to 1."""
        passed = self._times[-1] - self._times[0]
        return (self._waits[-1] - self._waits[0]) / passed if passed > 0 else 0.0

    @property
    def images_per_second(self) -> float:
        """Images a second, over all processes."""
        passed = self._times[-1] - self._times[0]
        return self._batch * (len(self._times) - 1) / passed if passed > 0 else 0.0

    def __str__(self) -> str:
        rate = self.images_per_second
        left = (self._total - self._done) * self._batch / rate if rate else 0.0
        return f"{rate:.0f} images/s, {self.waiting:.0%} of the time waiting for data, {left / 60:.1f} minutes left"


def lines_of(folder: Path, last_step: float = math.inf) -> list[dict[str, float]]:
    """Return the figures of each line up to a step, in order. What a kill cut off, or is none of ours, is left out."""
    found = (_figures(line) for line in _lines(folder / FILE))
    return [figures for figures in found if figures and figures["step"] <= last_step]


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of a file, if it is there."""
    if path.exists():
        with opened(path) as file:
            yield from (line for line in iter(lambda: file.readline(_LONGEST), b"") if line.endswith(b"\n"))


def _figures(line: bytes) -> dict[str, float]:
    """Return the numbers of a line with a step; nothing of one that a kill cut off, or that is none of ours."""
    try:
        found = parse_json(line, FILE)
    except BadInput:
        return {}
    items = found.items() if isinstance(found, dict) else ()
    numbers = {key: value for key, value in items if type(value) in (int, float)}
    return numbers if type(numbers.get("step")) is int else {}
