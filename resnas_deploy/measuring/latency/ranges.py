"""Between which latencies the subnets of a space lie, wherever it was profiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.space_ends import ends
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.profile import PROFILE, regression_of
from resnas_deploy.measuring.latency.regression import Regression, Values, least_networks
from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.latency.store import LatencyStore


@dataclass(frozen=True)
class LatencyRange:
    """What is predicted for the cheapest and the dearest subnet: milliseconds of a batch."""

    setting: Setting
    networks: int  # that were profiled
    least_ms: float
    most_ms: float


def latency_ranges(space: SearchSpace, store: Path) -> tuple[LatencyRange, ...]:
    """Return the range of each profile of a space that has been measured to its end or far enough for a model.

    A store that is not there yet has none.
    """
    found = []
    with LatencyStore(store, create=False) as opened:
        for item in opened.profiled():
            if item.space.fingerprint == space.fingerprint and item.networks >= least_networks(Terms.of_space(space)):
                regression = regression_of(opened.networks(item.setting, space, PROFILE))
                low, high = sorted(regression.predict(ends(space, _ms(regression))).ms.tolist())
                found.append(LatencyRange(item.setting, item.networks, low, high))
    return tuple(found)


def _ms(regression: Regression) -> Callable[[Sequence[ArchSpec]], Values]:
    return lambda archs: regression.predict(archs).ms
