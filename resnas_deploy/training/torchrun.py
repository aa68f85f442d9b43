"""What torchrun, or a job manager, says in the environment of a process that it starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnas_deploy.errors import BadInput

_MOST_PROCESSES, _MOST_PORT = 100_000, 65_535
_MOST_DIGITS = 6
_HOW = "start it by torchrun, which sets all of them, or unset them for a single process"


@dataclass(frozen=True)
class Launched:
    """Which process this is, of how many, and which of its machine."""

    rank: int = 0
    processes: int = 1
    local_rank: int = 0


def launched(environment: Mapping[str, str]) -> Launched:
    """Read it. Raises `BadInput` that names the variable. An empty variable is one that is not there."""
    processes = _number(environment, "WORLD_SIZE", 1, _MOST_PROCESSES)
    if processes is None or processes == 1:
        rank = _number(environment, "RANK", 0, 0 if processes else _MOST_PROCESSES)
        if rank:
            raise BadInput(f"RANK must come with WORLD_SIZE, found {rank} without; {_HOW}")
        return Launched(local_rank=_number(environment, "LOCAL_RANK", 0, _MOST_PROCESSES) or 0)
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if not environment.get(name, "").strip():
            raise BadInput(f"{name} must be set where WORLD_SIZE is {processes}, found none; {_HOW}")
    _number(environment, "MASTER_PORT", 1, _MOST_PORT)
    rank = _number(environment, "RANK", 0, processes - 1)
    local_rank = _number(environment, "LOCAL_RANK", 0, processes - 1)
    return Launched(rank or 0, processes, local_rank or 0)


def _number(environment: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    is_number = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    if not is_number or not least <= int(text) <= most:
        raise BadInput(
            f"the environment variable {name} must be a whole number from {least} to {most}, found {text!r:.60}; {_HOW}"
        )
    return int(text)
