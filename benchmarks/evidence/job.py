"""A piece of the campaign that is done or not: what it is told, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from resnas_deploy.arch.spec import Subnet

Found = dict[str, Any]  # plain data for JSON


@dataclass(frozen=True)
class Job:
    """One training run, one timing, or one share of a search. All that its result depends on is in `settings`."""

    part: str
    name: str  # no other of the part has it
    settings: Mapping[str, Any]  # plain data for JSON
    do: Callable[[Mapping[str, Any], str], Found] = field(compare=False)  # the second: the device to train on
    seconds: float  # on one core of the machine that it was written on: a guess, until some of the part are done
    alone: bool = False  # it times something, and wants the machine for itself

    @property
    def key(self) -> str:
        """Tell it from others, and from itself with other settings."""
        return _digest([self.part, self.name, self.settings])


@dataclass(frozen=True)
class Done:
    """What came of a job."""

    part: str
    name: str
    key: str
    seconds: float
    machine: Mapping[str, Any]
    found: Found


def told_apart(subnets: Iterable[Subnet]) -> str:
    """Return what tells a list of subnets from others."""
    return _digest([subnet.arch.fingerprint for subnet in subnets])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
