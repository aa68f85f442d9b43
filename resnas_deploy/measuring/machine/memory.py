"""Running out of memory as an error that can be reported, not as the end of the process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resnas_deploy.processes.resources import free_memory
from resnas_deploy.system import here

SPARED = 0.05  # of the free memory, for the system and what else runs

# What runtimes say when there is no memory; none of them raises MemoryError alone.
_WORDS = ("out of memory", "bad_alloc", "bad allocation", "allocate memory", "failed to allocate", "unable to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a runtime's error, or what it was raised from, says that host or device ran out of memory."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in _WORDS):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


@contextmanager
def limited(root: Path = Path("/")) -> Iterator[None]:
    """Refuse this process more memory than is free now, for as long as the block lasts.

    Linux would grant it, and kill the process when it is used (vm.overcommit_memory in proc(5)). `root` is where `proc`
    and `sys` are.
    """
    free, used = free_memory(root), _kibibytes(root / "proc/self/status", "VmData")
    before = here.data_limit()
    if free is not None and used is not None:
        limit = int(used + free * (1 - SPARED))
        here.limit_data(limit if before is None else min(limit, before))
    try:
        yield
    finally:
        here.limit_data(before)


def _kibibytes(path: Path, name: str) -> int | None:
    """Read the line of that name in a file of the kernel's that counts kibibytes. Return bytes."""
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return 1024 * int(value.split()[0])
    return None
