"""From what was asked for to costs and limits: which latency model, at which batch size, bounded how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.latency.bounds import CONFIDENCE, MEDIAN, check_confidence, percent
from resnas_deploy.measuring.latency.model import LatencyModel
from resnas_deploy.measuring.latency.power import watts
from resnas_deploy.measuring.latency.setup import Setup
from resnas_deploy.progress import Progress, silent
from resnas_deploy.searching.costs import (
    Bounds,
    CostKind,
    CostLimit,
    CostLimits,
    energy_cost,
    latency_cost,
    macs_cost,
    memory_cost,
    parameters_cost,
    throughput_limit,
)
from resnas_deploy.searching.measured_limits import Figure, MeasuredLimit

_FIGURES: dict[str, Figure] = {"p50": "p50", "p90": "p90", "p99": "p99"}

Models = Callable[[Setup], LatencyModel]  # of the search's space in a setup


@dataclass(frozen=True)
class Promise:
    """What a limit on latency speaks of. Raises `BadInput` for what cannot be promised."""

    confidence: float = CONFIDENCE  # with which a network inside the limit is measured inside it
    percentile: str = MEDIAN  # of the measured runs

    def __post_init__(self) -> None:
        check_confidence(self.confidence)
        percent(self.percentile)


@dataclass(frozen=True)
class Priced:
    """The costs of a search's subnets, and the limits on them."""

    setup: Setup  # with the batch size that was chosen
    model: LatencyModel | None  # where latency is a cost
    costs: tuple[CostKind, ...]
    limits: CostLimits
    measured: tuple[MeasuredLimit, ...]  # what finalists must keep when they are measured


def priced(
    space: SearchSpace,
    bounds: Bounds,
    promise: Promise,
    setups: Sequence[Setup],
    models: Models,
    *,
    always_latency: bool = False,
    progress: Progress = silent,
) -> Priced:
    """Return what limits mean in a space; of several setups, in the one that lets the largest networks in.

    `always_latency` makes it a cost without a limit on it. Raise `BadInput` where no subnet meets the limits, with the
    range that there is; and what a model or a meter raises that is not there.
    """
    if len(setups) > 1:
        found = [_priced(space, bounds, promise, setup, models, always_latency, progress) for setup in setups]
        tightest = [float(one.limits.highest([space.widest()])[0]) for one in found]
        best = found[tightest.index(min(tightest))]
        progress(f"batch {best.setup.batch} of {', '.join(str(setup.batch) for setup in setups)} lets most in")
    else:
        best = _priced(space, bounds, promise, setups[0], models, always_latency, progress)
    best.limits.within(space)
    return best


def _priced(
    space: SearchSpace,
    bounds: Bounds,
    promise: Promise,
    setup: Setup,
    models: Models,
    always_latency: bool,
    progress: Progress,
) -> Priced:
    costs, limits, measured = list[CostKind](), list[CostLimit](), list[MeasuredLimit]()
    model = None
    if bounds.measured or always_latency:
        model = models(setup)
        latency = latency_cost(model, space, promise.confidence, promise.percentile)
        costs.append(latency)
        if bounds.latency:
            limits.append(bounds.latency.limit(latency, space))
            measured.append(MeasuredLimit(_FIGURES[promise.percentile], limits[-1].most))
        middle = latency_cost(model, space, promise.confidence)  # the percentile is of a batch's time alone
        if bounds.throughput:
            limits.append(throughput_limit(bounds.throughput, middle, setup.batch))
            measured.append(MeasuredLimit("throughput", bounds.throughput))
        if bounds.energy:
            costs.append(energy_cost(middle, watts(space, setup, progress), setup.batch))
            limits.append(bounds.energy.limit(costs[-1], space))
            measured.append(MeasuredLimit("energy", limits[-1].most))
    exact = ((bounds.macs, macs_cost()), (bounds.parameters, parameters_cost()))
    memory = memory_cost(setup.batch, setup.precision)
    for bound, cost in (*exact, *([(bounds.memory, memory)] if bounds.memory else [])):
        costs.append(cost)
        if bound:
            limits.append(bound.limit(cost, space))
    return Priced(setup, model, tuple(costs), CostLimits(tuple(limits)), tuple(measured))


def check_choice(space: SearchSpace) -> None:
    """Raise `BadInput` for a space in which there is nothing to choose."""
    if space.widest().arch == space.narrowest().arch:
        raise BadInput(
            f"the space {space.name} must have two subnets or more, found one: there is nothing to search; export it "
            "as it is, or give its file more choices"
        )
