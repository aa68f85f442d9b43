"""What a subnet costs, and what it may."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.errors import BadInput, shown

WINDOW = 0.975  # of a limit: what costs less than that share of every limit leaves accuracy behind (FACTS: the paper)
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e[0-9]+)?)\s*([a-zA-Z]*|%)")

Costs = Callable[[Sequence[ArchSpec]], NDArray[np.float64]]


@dataclass(frozen=True)
class Cost:
    """One kind of cost. `of` gives that of each network, `(networks,)`, in `unit`."""

    name: str  # MACs, parameters, latency
    unit: str  # G, M, ms
    of: Costs

    def text(self, value: float) -> str:
        """A cost for people."""
        return f"{value:.3g} {self.unit}"


@dataclass(frozen=True)
class Limit:
    """The most that a subnet may cost of one kind."""

    cost: Cost
    most: float

    def __str__(self) -> str:
        return f"{self.cost.name} of at most {self.cost.text(self.most)}"


@dataclass(frozen=True)
class Limits:
    """All limits together."""

    limits: tuple[Limit, ...]
    window: float = WINDOW

    def inside(self, subnets: Sequence[Subnet]) -> NDArray[np.bool_]:
        """Which subnets meet every limit and come near to one: `(subnets,)`."""
        if not self.limits or not subnets:
            return np.ones(len(subnets), dtype=bool)
        archs = [subnet.arch for subnet in subnets]
        shares = np.array([limit.cost.of(archs) / limit.most for limit in self.limits])
        highest = shares.max(axis=0)
        return np.asarray((highest <= 1) & (highest >= self.window))

    def within(self, space: SearchSpace) -> Limits:
        """These limits for a space: where its widest subnet meets them all, none is too cheap.

        Raises `BadInput`, which tells the reachable range, where no subnet meets them.
        """
        ends = [space.narrowest().arch, space.widest().arch]
        for limit in self.limits:
            low, high = limit.cost.of(ends).tolist()
            if low > limit.most:
                raise BadInput(
                    f"the space {space.name} must have subnets with {limit}, found from {limit.cost.text(low)} to "
                    f"{limit.cost.text(high)}; raise the limit"
                )
        loose = all(limit.cost.of(ends[1:])[0] <= limit.most for limit in self.limits)
        return Limits(self.limits, 0.0) if loose else self


def limit_of(cost: Cost, text: str, units: Mapping[str, float], option: str, space: SearchSpace) -> Limit:
    """The limit that an option's value names: a number with a unit, or a percentage of the widest subnet's cost.

    `units` tells how much each is in the cost's own. Raises `BadInput` that lists the units.
    """
    match = _QUANTITY.fullmatch(text.strip())
    factor = None if match is None else units.get(match[2])
    if match and match[2] == "%":
        factor = cost.of([space.widest().arch]).item() / 100
    if not match or factor is None or not 0 < float(match[1]) * factor < 1e30:
        raise BadInput(
            f"{option} must be a number with one of the units {', '.join(filter(None, units))}, or % of the widest "
            f"subnet's, found {shown(text)}"
        )
    return Limit(cost, float(match[1]) * factor)
