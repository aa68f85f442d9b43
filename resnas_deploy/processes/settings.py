"""Settings that hold for the whole process: changed for as long as somebody needs them, then as they were."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class ProcessSetting(Generic[T]):
    """A setting, by the functions that read and write it.

    Whoever changed it last has it as it wants. Changes may end in any order: what is open may close before or after
    what was opened later.
    """

    def __init__(self, read: Callable[[], T], write: Callable[[T], object]) -> None:
        self._read, self._write = read, write
        self._wanted: dict[object, T] = {}  # in the order of the changes
        self._lock = threading.Lock()

    @contextmanager
    def at(self, value: T) -> Iterator[None]:
        """Have it at a value within the block."""
        change = object()
        with self._lock:
            if not self._wanted:
                self._before = self._read()
            self._wanted[change] = value
            try:
                self._write(value)
            except BaseException:  # which nobody can have
                self._end(change)
                raise
        try:
            yield
        finally:
            with self._lock:
                self._end(change)

    def _end(self, change: object) -> None:
        del self._wanted[change]
        self._write(next(reversed(self._wanted.values()), self._before))


def variable(name: str) -> ProcessSetting[str | None]:
    """Return a variable of the environment; None where it is not set."""

    def write(value: str | None) -> None:
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

    return ProcessSetting(lambda: os.environ.get(name), write)
