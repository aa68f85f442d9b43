"""How many images are named, counted by a thread while the first of them are worked on, so that nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

_LOOK = 100  # items between two looks at whether anybody still wants to know


@contextmanager
def counting(items: Callable[[], Iterable[object]]) -> Iterator[Callable[[], int]]:
    """Yield what returns how many items there are, or 0 as long as that is not known; `items` is called in a thread.

    What it raises is left to whoever goes through the same items, who comes to it too.
    """
    over, known = threading.Event(), [0]

    def count() -> None:
        number = 0
        try:
            for number, _ in enumerate(items(), 1):
                if number % _LOOK == 0 and over.is_set():
                    return
        except Exception:  # noqa: BLE001  as said above
            return
        known[0] = number

    counter = threading.Thread(target=count, name="counting", daemon=True)
    counter.start()
    try:
        yield lambda: known[0]
    finally:
        over.set()
        counter.join()
