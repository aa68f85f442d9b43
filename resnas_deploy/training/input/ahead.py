"""What comes next is made by a thread while what came before is worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

Made = TypeVar("Made")

_POLL_S = 0.1  # after which the thread looks whether anybody still waits


def made_ahead(source: Callable[[Callable[[], bool]], Iterator[Made]], ahead: int) -> Generator[Made, None, None]:
    """Yield what an iterator gives, of which up to `ahead` are ready before they are asked for.

    `source` makes the iterator, and is given what tells whether nobody wants more of it: it looks at that wherever it
    may wait for long. The thread ends, and with it the iterator is closed, when this one is. What the iterator raises
    is raised here.
    """
    ready: queue.Queue[tuple[Made] | BaseException | None] = queue.Queue(ahead)
    stop = threading.Event()

    def put(what: tuple[Made] | BaseException | None) -> None:
        while not stop.is_set():
            try:
                return ready.put(what, timeout=_POLL_S)
            except queue.Full:
                continue

    def work() -> None:
        try:
            made = source(stop.is_set)
            try:
                while not stop.is_set() and (item := next(made, None)) is not None:
                    put((item,))
            finally:
                if close := getattr(made, "close", None):
                    close()
        except BaseException as error:  # noqa: BLE001  it is raised where it can be handled
            put(error)
        else:
            put(None)

    thread = threading.Thread(target=work, name="made ahead", daemon=True)
    thread.start()
    try:
        while (found := ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            yield found[0]
    finally:
        stop.set()
        thread.join()
