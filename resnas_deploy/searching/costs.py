"""What a subnet costs, and what it may: MACs, parameters, memory and predicted latency, and the limits on them.

MACs, parameters and memory are exact. A latency is predicted, and its limit is held against the bound that the measured
one stays below at a stated probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.arch.cost import macs, parameters
from resnas_deploy.arch.memory import memory_bytes
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.space_ends import ends
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.measuring.latency.bounds import CONFIDENCE, MEDIAN
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.units import MEGABYTES, MILLIJOULES, MILLISECONDS, PER_SECOND, parse_quantity

WINDOW = 0.975  # of a limit: what costs less than that share of every limit leaves accuracy behind

LATENCY, ENERGY = "latency", "energy"
_BILLIONS = {"G": 1.0, "M": 1e-3, "": 1e-9}
_MILLIONS = {"G": 1e3, "M": 1.0, "": 1e-6}

Costs = Callable[[Sequence[ArchSpec]], NDArray[np.float64]]


@dataclass(frozen=True)
class CostName:
    """One kind of cost, as documents name it."""

    name: str  # MACs, parameters, memory, latency, energy
    unit: str  # G, M, MB, ms, mJ
    low: float = field(default=1.0, kw_only=True)  # of a cost that is predicted: the ends of the interval that it will
    high: float = field(default=1.0, kw_only=True)  # lie in, as shares of what is predicted

    def text(self, value: float) -> str:
        """Return a cost for people."""
        return f"{value:.3g} {self.unit}"


@dataclass(frozen=True)
class CostKind(CostName):
    """One kind of cost that can be counted. `of` gives that of each network, `(networks,)`, in `unit`."""

    of: Costs
    bound: Costs | None = None  # what the real one stays below; None where `of` is exact
    stated: str = ""  # which percentile that is, and how probable

    def most(self, archs: Sequence[ArchSpec]) -> NDArray[np.float64]:
        """Return what limits are held against: `(networks,)`."""
        return (self.bound or self.of)(archs)

    @property
    def named(self) -> CostName:
        """Return what it is called."""
        return CostName(self.name, self.unit, low=self.low, high=self.high)


@dataclass(frozen=True)
class CostLimit:
    """The most that a subnet may cost of one kind."""

    cost: CostKind
    most: float
    asked: str = ""  # where it was asked for as something else

    def __str__(self) -> str:
        return self.asked or f"{self.cost.name} of at most {self.cost.text(self.most)}{self.cost.stated}"

    def reach(self, space: SearchSpace) -> tuple[float, float]:
        """Return what the cheapest and the dearest subnet of a space cost."""
        low, high = self.cost.most(ends(space, self.cost.most)).tolist()
        return low, high

    @property
    def exact(self) -> str:
        """Return it as text from which limits that differ can be told apart: for people it is rounded."""
        return f"{self.cost.name} of at most {self.most:.12g} {self.cost.unit}{self.cost.stated}"


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
        if not (subnets and self.limits):
            return np.zeros(len(subnets))
        archs = [subnet.arch for subnet in subnets]
        shares = np.array([limit.cost.most(archs) / limit.most for limit in self.limits])
        return np.asarray(shares.max(axis=0))

    def met_in(self, space: SearchSpace) -> bool:
        """Tell whether each limit, by itself, is met by a subnet of the space."""
        return all(limit.reach(space)[0] <= limit.most for limit in self.limits)

    def within(self, space: SearchSpace) -> CostLimits:
        """Return these limits for a space: where its widest subnet meets them all, none is too cheap.

        Raise `BadInput`, which tells the reachable range, where no subnet meets them.
        """
        for limit in self.limits:
            low, high = limit.reach(space)
            if low > limit.most:
                raise BadInput(
                    f"the space {space.name} must have subnets with {limit}, found from {limit.cost.text(low)} to "
                    f"{limit.cost.text(high)}; {'lower' if limit.asked else 'raise'} the limit"
                )
        loose = bool(self.highest([space.widest()])[0] <= 1)
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
    memory: Bound | None = None
    energy: Bound | None = None
    throughput: float | None = None  # images a second, at least

    @property
    def measured(self) -> bool:
        """Tell whether a limit is on what is measured, for which there must be a latency model."""
        return bool(self.latency or self.energy or self.throughput)

    def __bool__(self) -> bool:
        return bool(self.macs or self.parameters or self.memory or self.measured)

    @classmethod
    def parse(
        cls,
        macs: str | float = "",
        parameters: str | float = "",
        latency: str | float = "",
        memory: str | float = "",
        energy: str | float = "",
        throughput: str | float = "",
    ) -> Bounds:
        """Read quantities: numbers with a unit or per cent as text, or plain numbers.

        Those are MACs, parameters, milliseconds, bytes, joules an image, images a second. An empty text is no bound.
        Raise `BadInput` that lists the units.
        """
        images = _bound("min_throughput", throughput, PER_SECOND, 1.0, relative=False)
        return cls(
            _bound("max_macs", macs, _BILLIONS, 1e-9),
            _bound("max_parameters", parameters, _MILLIONS, 1e-6),
            _bound("max_latency", latency, MILLISECONDS, 1.0),
            _bound("max_memory", memory, MEGABYTES, 1e-6),
            _bound("max_energy", energy, MILLIJOULES, 1e3),
            images.amount if images else None,
        )


def _bound(
    field: str, given: str | float, units: Mapping[str, float], of_number: float, *, relative: bool = True
) -> Bound | None:
    if given == "":
        return None
    is_share = False
    if isinstance(given, str):
        amount = parse_quantity(given, {**units, "%": 0.01} if relative else units)
        is_share = given.rstrip().endswith("%")
    else:
        amount = given * of_number
    if amount is None or not 0 < amount < 1e30:
        named = list(filter(None, units))
        several = "one of the units" if len(named) > 1 else "the unit"
        widest = ", or % of the widest subnet's" if relative else ""
        raise BadInput(f"`{field}` must be a number with {several} {', '.join(named)}{widest}, found {shown(given)}")
    return Bound(amount, is_share)


def macs_cost() -> CostKind:
    """Return the multiply-accumulates of an image as a cost."""
    return CostKind("MACs", "G", lambda archs: _each(macs, archs) / 1e9)


def parameters_cost() -> CostKind:
    """Return the trainable numbers as a cost."""
    return CostKind("parameters", "M", lambda archs: _each(parameters, archs) / 1e6)


def memory_cost(batch: int, precision: str) -> CostKind:
    """Return the megabytes that weights and activations of a batch take at their peak as a cost."""
    return CostKind("memory", "MB", lambda archs: _each(lambda arch: memory_bytes(arch, batch, precision), archs) / 1e6)


def latency_cost(
    model: LatencyModel, space: SearchSpace, confidence: float = CONFIDENCE, percentile: str = MEDIAN
) -> CostKind:
    """Return what a percentile of a batch's runs is predicted to take as a cost, bounded at that probability.

    Raise `BadInput` where the model is of another space, or of images of another size, or cannot tell as much.
    """
    _check_space(model, space)
    found = model.regression
    typical, bound = found.tail(percentile), found.factor_within(confidence, percentile)
    return CostKind(
        LATENCY,
        "ms",
        lambda archs: found.predict(archs).ms * typical,
        bound=lambda archs: found.predict(archs).ms * bound,
        stated=f" ({percentile} at {confidence:.0%})",
        low=math.exp(-found.spread),
        high=bound / typical,
    )


def energy_cost(latency: CostKind, watts: float, batch: int) -> CostKind:
    """Return the energy of an image as a cost: the power that networks of the space draw, for the predicted time."""
    return CostKind(
        ENERGY,
        "mJ",
        lambda archs: latency.of(archs) * watts / batch,
        bound=lambda archs: latency.most(archs) * watts / batch,
        stated=f" at {watts:.4g} W",
        low=latency.low,
        high=latency.high,
    )


def throughput_limit(images_per_second: float, latency: CostKind, batch: int) -> CostLimit:
    """Return the limit on a batch's time at which so many images are run in a second."""
    asked = f"throughput of at least {images_per_second:g}/s, which is {1e3 * batch / images_per_second:.3g} ms a batch"
    return CostLimit(latency, 1e3 * batch / images_per_second, f"{asked} of {batch}{latency.stated}")


def _check_space(model: LatencyModel, space: SearchSpace) -> None:
    if model.space.fingerprint != space.fingerprint:
        raise BadInput(
            f"`model` must be of the supernet's space, {space.name} at {space.image_size} pixels, "
            f"found one of {model.space.name} at {model.space.image_size}"
        )


def costs_of(costs: Sequence[CostKind], subnets: Sequence[Subnet]) -> list[tuple[float, ...]]:
    """Return all costs of each subnet."""
    if not subnets:
        return []
    archs = [subnet.arch for subnet in subnets]
    return list(zip(*(cost.of(archs).tolist() for cost in costs), strict=True))


def _each(count: Callable[[ArchSpec], int], archs: Sequence[ArchSpec]) -> NDArray[np.float64]:
    return np.array([count(arch) for arch in archs], dtype=np.float64)
