"""What a subnet costs, and what it may: MACs, parameters and predicted latency, and the limits on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.units import MILLISECONDS, parse_quantity

WINDOW = 0.975  # of a limit: what costs less than that share of every limit leaves accuracy behind

LATENCY = "latency"
_BILLIONS = {"G": 1.0, "M": 1e-3, "": 1e-9}
_MILLIONS = {"G": 1e3, "M": 1.0, "": 1e-6}

Costs = Callable[[Sequence[ArchSpec]], NDArray[np.float64]]


@dataclass(frozen=True)
class CostKind:
    """One kind of cost. `of` gives that of each network, `(networks,)`, in `unit`."""

    name: str  # MACs, parameters, latency
    unit: str  # G, M, ms
    of: Costs

    def text(self, value: float) -> str:
        """Return a cost for people."""
        return f"{value:.3g} {self.unit}"


@dataclass(frozen=True)
class CostLimit:
    """The most that a subnet may cost of one kind."""

    cost: CostKind
    most: float

    def __str__(self) -> str:
        return f"{self.cost.name} of at most {self.cost.text(self.most)}"

    @property
    def exact(self) -> str:
        """Return it as text from which limits that differ can be told apart: for people it is rounded."""
        return f"{self.cost.name} of at most {self.most:.12g} {self.cost.unit}"


@dataclass(frozen=True)
class CostLimits:
    """All limits together."""

    limits: tuple[CostLimit, ...]
    window: float = WINDOW

    def inside(self, subnets: Sequence[Subnet]) -> NDArray[np.bool_]:
        """Tell which subnets meet every limit and come near to one: `(subnets,)`."""
        if not self.limits:
            return np.ones(len(subnets), dtype=bool)
        highest = self.highest(subnets)
        return np.asarray((highest <= 1) & (highest >= self.window))

    def highest(self, subnets: Sequence[Subnet]) -> NDArray[np.float64]:
        """Return what each subnet costs as a share of the limit that it comes nearest to: `(subnets,)`."""
        if not subnets:
            return np.zeros(0)
        archs = [subnet.arch for subnet in subnets]
        shares = np.array([limit.cost.of(archs) / limit.most for limit in self.limits])
        return np.asarray(shares.max(axis=0))

    def within(self, space: SearchSpace) -> CostLimits:
        """Return these limits for a space: where its widest subnet meets them all, none is too cheap.

        Raise `BadInput`, which tells the reachable range, where no subnet meets them.
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
        return CostLimits(self.limits, 0.0) if loose else self


@dataclass(frozen=True)
class Bound:
    """The most that a subnet may cost of one kind, as it was asked for."""

    amount: float  # in the kind's own unit
    relative: bool = False  # then it is a share of the widest subnet's

    def limit(self, cost: CostKind, space: SearchSpace) -> CostLimit:
        """Return the limit that this is in a space."""
        whole = cost.of([space.widest().arch]).item() if self.relative else 1.0
        return CostLimit(cost, self.amount * whole)


@dataclass(frozen=True)
class Bounds:
    """What was asked for of each kind of cost."""

    macs: Bound | None = None
    parameters: Bound | None = None
    latency: Bound | None = None

    @classmethod
    def parse(cls, macs: str | float, parameters: str | float, latency: str | float) -> Bounds:
        """Read quantities: numbers with a unit or per cent as text, or plain numbers: MACs, parameters, milliseconds.

        An empty text is no bound. Raise `BadInput` that lists the units.
        """
        return cls(
            _bound("max_macs", macs, _BILLIONS, 1e-9),
            _bound("max_parameters", parameters, _MILLIONS, 1e-6),
            _bound("max_latency", latency, MILLISECONDS, 1.0),
        )


def _bound(field: str, given: str | float, units: Mapping[str, float], of_number: float) -> Bound | None:
    if given == "":
        return None
    if isinstance(given, str):
        amount, relative = parse_quantity(given, {**units, "%": 0.01}), given.rstrip().endswith("%")
    else:
        amount, relative = given * of_number, False
    if amount is None or not 0 < amount < 1e30:
        raise BadInput(
            f"`{field}` must be a number with one of the units {', '.join(filter(None, units))}, or % of the widest "
            f"subnet's, found {shown(given)}"
        )
    return Bound(amount, relative)


def macs_cost() -> CostKind:
    """Return the multiply-accumulates of an image as a cost."""
    return CostKind("MACs", "G", lambda archs: _each(macs, archs) / 1e9)


def parameters_cost() -> CostKind:
    """Return the trainable numbers as a cost."""
    return CostKind("parameters", "M", lambda archs: _each(parameters, archs) / 1e6)


def latency_cost(model: LatencyModel, space: SearchSpace) -> CostKind:
    """Return what the latency model predicts for a batch as a cost.

    Raise `BadInput` where the model is of another space, or of images of another size.
    """
    if model.space.fingerprint != space.fingerprint:
        raise BadInput(
            f"`model` must be of the supernet's space, {space.name} at {space.image_size} pixels, "
            f"found one of {model.space.name} at {model.space.image_size}"
        )
    return CostKind(LATENCY, "ms", lambda archs: model.regression.predict(archs).ms)


def costs_of(costs: Sequence[CostKind], subnets: Sequence[Subnet]) -> list[tuple[float, ...]]:
    """Return all costs of each subnet."""
    if not subnets:
        return []
    archs = [subnet.arch for subnet in subnets]
    return list(zip(*(cost.of(archs).tolist() for cost in costs), strict=True))


def _each(count: Callable[[ArchSpec], int], archs: Sequence[ArchSpec]) -> NDArray[np.float64]:
    return np.array([count(arch) for arch in archs], dtype=np.float64)
