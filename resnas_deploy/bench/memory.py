"""Running out of memory as an error that can be reported, not as the end of the process."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPARED = 0.05  # of the free memory, for the system and what else runs

# What runtimes say when there is no memory; none of them raises MemoryError alone.
_WORDS = ("out of memory", "bad_alloc", "bad allocation", "allocate memory", "failed to allocate", "unable to allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any runtime says that memory ran out, of the host or of the device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _WORDS)


@contextmanager
def limited(meminfo: Path = Path("/proc/meminfo"), status: Path = Path("/proc/self/status")) -> Iterator[None]:
    """Within the block, asking for more memory than is free now is refused to this process.

    Linux would grant it, and kill the process when it is used (vm.overcommit_memory in proc(5)).
    """
    free, used = _kibibytes(meminfo, "MemAvailable"), _kibibytes(status, "VmData")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    if free is not None and used is not None:
        limit = int((used + free * (1 - SPARED)) * 1024)
        resource.setrlimit(resource.RLIMIT_DATA, (_smaller(limit, before[0]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _smaller(limit: int, other: int) -> int:
    return limit if other == resource.RLIM_INFINITY else min(limit, other)


def _kibibytes(path: Path, name: str) -> int | None:
    if path.is_file():
        for line in path.read_text().splitlines():
            key, _, value = line.partition(":")
            if key == name:
                return int(value.split()[0])
    return None
