"""The most requests a second within a latency limit, and how many instances a demand needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from resnas_deploy.errors import BadInput
from resnas_deploy.serving.load import Level, Load

_STEPS = 6  # of bisection: within 2% of an interval that doubles


@dataclass(frozen=True)
class Limit:
    """Within how many milliseconds that percentage of the answers must come."""

    percentile: float
    ms: float

    def holds(self, load: Load) -> bool:
        """Whether it was kept, and every request answered."""
        return not load.failures and bool(load.latencies_s) and load.percentile_ms(self.percentile) <= self.ms

    def __str__(self) -> str:
        return f"p{self.percentile:g} within {self.ms:g} ms"


@dataclass(frozen=True)
class Capacity:
    """The highest rate that kept a limit, and everything that was tried."""

    limit: Limit
    rate: float  # requests a second
    tried: tuple[Load, ...]


@dataclass(frozen=True)
class Plan:
    """How many servers like the measured one a demand needs."""

    rate: float  # requests a second that are demanded
    servers: int
    margin: float  # what they could do beyond the demand, as a share of it


def find_capacity(run: Callable[[Level], Load], limit: Limit, first: float) -> Capacity:
    """Search the highest rate that keeps the limit: doubled until it breaks, then bisected.

    Raises `BadInput` where even the first rate, and a few below it, do not keep it.
    """
    tried, good, bad = list[Load](), 0.0, math.inf
    rate = first
    for _ in range(12):  # upwards, or downwards from a first rate that is too high
        load = run(Level(rate=rate))
        tried.append(load)
        if limit.holds(load):
            good = max(good, rate)
            rate *= 2
        else:
            bad = min(bad, rate)
            rate /= 4
        if good and bad < math.inf:
            break
    if not good:
        raise BadInput(f"the server must keep {limit} at some rate, found none down to {4 * rate:.3g} requests/s")
    for _ in range(_STEPS if bad < math.inf else 0):
        middle = (good + bad) / 2
        load = run(Level(rate=middle))
        tried.append(load)
        good, bad = (middle, bad) if limit.holds(load) else (good, middle)
    return Capacity(limit, good, tuple(tried))


def plan(capacity: Capacity, demand: float) -> Plan:
    """The fewest servers whose measured capacities add up to a demand, in requests a second."""
    servers = math.ceil(demand / capacity.rate)
    return Plan(demand, servers, servers * capacity.rate / demand - 1)
