"""The most requests a second within a latency limit, and how many servers a demand needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from resnas_deploy.serving.load.level import Level, LevelResult

_STEPS = 6  # of bisection: within 2% of an interval that doubles
_LEAST, _MOST = 0.5, 1e6  # requests a second
_AGAIN = 3  # times that a rate is asked again


@dataclass(frozen=True)
class LatencyLimit:
    """Within how many milliseconds that percentage of the answers must come."""

    percentile: float
    ms: float

    def holds(self, found: LevelResult) -> bool:
        """Return whether it was kept, and every request answered."""
        return not found.failures and bool(found.latencies_s) and found.percentile_ms(self.percentile) <= self.ms

    def __str__(self) -> str:
        return f"p{self.percentile:g} within {self.ms:g} ms"


@dataclass(frozen=True)
class Capacity:
    """The highest rate that kept a limit."""

    limit: LatencyLimit
    rate: float  # requests a second; 0: none that was tried
    broken: float  # the lowest rate that broke it

    def servers_for(self, demand: float) -> ServersNeeded:
        """Return the fewest servers like this one whose rates add up to a demand, in requests a second."""
        servers = math.ceil(demand / self.rate)
        return ServersNeeded(demand, servers, servers * self.rate / demand - 1)

    def __str__(self) -> str:
        if self.rate:
            return f"{self.rate:.4g} requests/s with {self.limit}"
        return f"{self.limit} holds at no rate, not even {self.broken:g} requests/s"


@dataclass(frozen=True)
class ServersNeeded:
    """How many servers like the measured one a demand needs."""

    demand: float  # requests a second
    servers: int
    margin: float  # what they could do beyond the demand, as a share of it

    def __str__(self) -> str:
        return f"{self.demand:g} requests/s need {self.servers} such servers, with a margin of {self.margin:.0%}"


def find_capacity(measure: Callable[[Level], LevelResult], limit: LatencyLimit, first: float) -> Capacity:
    """Search the highest rate that keeps the limit: doubled until it breaks or halved until it holds, then bisected.

    Where every rate below one that broke it holds, that one was another's work on the machine, maybe: it is asked
    again, and the search goes on from there where it holds now.
    """
    good, bad, rate = 0.0, math.inf, min(max(first, _LEAST), _MOST)
    for again in range(_AGAIN + 1):
        while _LEAST <= rate <= _MOST and not (good and bad < math.inf):
            if limit.holds(measure(Level(rate=rate))):
                good, rate = rate, 2 * rate
            else:
                bad, rate = rate, rate / 2
        if not (good and bad < math.inf):
            break
        doubted = bad
        for _ in range(_STEPS):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if limit.holds(measure(Level(rate=middle))) else (good, middle)
        if bad < doubted or again == _AGAIN or not limit.holds(measure(Level(rate=bad))):
            break
        good, bad, rate = bad, math.inf, 2 * bad
    return Capacity(limit, good, bad)
