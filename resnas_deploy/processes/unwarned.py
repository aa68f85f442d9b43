"""Has no warning shown or raised while a block runs, in any number of threads at once.

`warnings.catch_warnings` puts filters aside that all threads of a process share, and its documentation says that two
threads must not be in one at once: what the second has put aside are the first's. So the first to come puts them aside,
and the last to go puts them back. Where Python keeps filters for each thread (`context_aware_warnings` of 3.14, which
is usual where there is no lock of the interpreter), each has its own.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


class _Inside:
    """How many are within a block, and the filters that the first of them has put aside."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.aside: warnings.catch_warnings[None] | None = None


_inside = _Inside()


@contextmanager
def unwarned() -> Iterator[None]:
    """Ignore every warning within the block. Those of other threads are ignored too, for as long as that takes."""
    if getattr(sys.flags, "context_aware_warnings", False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
        return
    with _inside.lock:
        if not _inside.count:
            _inside.aside = warnings.catch_warnings()
            _inside.aside.__enter__()
            warnings.simplefilter("ignore")
        _inside.count += 1
    try:
        yield
    finally:
        with _inside.lock:
            _inside.count -= 1
            if not _inside.count and _inside.aside:
                _inside.aside.__exit__(None, None, None)
                _inside.aside = None
