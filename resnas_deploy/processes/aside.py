"""Work that goes on in a thread beside what the main one does: hashing, flushing, importing.

All of it lets go of Python for long stretches, so that both make progress.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Self, TypeVar, cast

from resnas_deploy.processes import ending

Value = TypeVar("Value")


class Aside(Generic[Value]):
    """One call, in a thread that has begun. A `with` ends when the thread has, whatever comes of the block."""

    def __init__(self, call: Callable[[], Value]) -> None:
        self._call = call
        self._value: Value | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="resnas-aside")
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._call()
        except BaseException as error:  # noqa: BLE001  for whoever asks for the value
            self._error = error

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._thread.is_alive()

    def result(self) -> Value:
        """Wait for the call to end. Return what it returned, or raise what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return cast(Value, self._value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._thread.join()


@contextmanager
def imported_aside(main: str, *others: str) -> Iterator[None]:
    """Import modules while the block runs; where the first is here already, nothing is done.

    What goes wrong shows where the block, or what follows, imports them: an import that failed is tried again. A block
    that ends in an error does not wait, and neither does a command's process that ends by it.
    """
    if main in sys.modules:
        yield
        return
    importing = Aside(lambda: _import(main, *others))
    try:
        yield
    except BaseException:
        if importing.is_running:
            ending.leave_at_once()
        raise


def _import(*names: str) -> None:
    with uncollected():
        for name in names:
            importlib.import_module(name)


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep Python from looking for garbage, of which imports make next to none: that is a fifth of PyTorch's import."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
