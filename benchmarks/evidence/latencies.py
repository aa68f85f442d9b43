"""What the results say of latency against MACs: pure functions of what is done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evidence import search, spread
from evidence.effect import Effect
from evidence.job import Done
from evidence.verdicts import by_name

BOOTSTRAP = 10_000
POINTS = 20  # latencies at which searches are compared
LEAST = 0.05  # of spread: below it a search by latency has little to gain


@dataclass(frozen=True)
class Spread:
    """How far the latencies of networks of equal MACs lie apart."""

    share: float  # standard deviation over mean, without noise
    low: float  # 95%, by bootstrap over networks
    high: float
    noise: float  # standard deviation of a network's latency measured again, over the mean
    most: float  # the slowest over the fastest
    with_depth: float  # Spearman's rank correlation with the number of blocks; NaN where all have as many
    networks: int


def spread_of(values: NDArray[np.float64], depths: Sequence[int]) -> Spread:
    """Return the spread of latencies `(networks, 2)`, each measured twice; noise is what the two differ by."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(values), size=(BOOTSTRAP, len(values)))
    shares = np.sort([_share(values[one]) for one in drawn])
    ends = shares[[round(0.025 * BOOTSTRAP), round(0.975 * BOOTSTRAP)]]
    own = values.mean(1)
    differ = len(set(depths)) > 1 and len(set(own.tolist())) > 1
    with_depth = float(stats.spearmanr(own, depths).statistic) if differ else math.nan
    most = float(own.max() / own.min())
    return Spread(_share(values), *map(float, ends), _noise(values), most, with_depth, len(values))


def _noise(values: NDArray[np.float64]) -> float:
    """Return the standard deviation of one of the two measurements, over the mean."""
    return float(np.std(values[:, 0] - values[:, 1], ddof=1) / np.sqrt(2) / values.mean())


def _share(values: NDArray[np.float64]) -> float:
    """Return the standard deviation over the mean, less the share of noise in the mean of two."""
    total = np.std(values.mean(1), ddof=1) / values.mean()
    return float(np.sqrt(max(0.0, total**2 - _noise(values) ** 2 / 2)))


def spreads(done: Sequence[Done]) -> dict[str, Spread]:
    """Return the spread of latency of every setting that was timed."""
    found = {}
    for name, one in by_name(done, spread.PART).items():
        networks = one["networks"]
        depths = [sum(network["depths"]) for network in networks]
        found[name] = spread_of(np.array([network["ms"] for network in networks]), depths)
    return found


def kernels(done: Sequence[Done]) -> dict[str, list[tuple[int, int]]]:
    """Return the blocks and the kernels of each network whose engine was built, by space."""
    found: dict[str, list[tuple[int, int]]] = {}
    for name, one in by_name(done, spread.KERNELS).items():
        found.setdefault(name.rpartition(", ")[0], []).append((sum(one["depths"]), one["kernels"]))
    return found


@dataclass(frozen=True)
class Searched:
    """Both searches of every supernet: what they took at each limit."""

    ms: Mapping[tuple[int, str], NDArray[np.float64]]  # measured, by seed and by what was limited
    entropy: Mapping[tuple[int, str], NDArray[np.float64]]
    limits: NDArray[np.float64]  # ms, as predicted, at the pace of the day of the winners' timing

    @property
    def seeds(self) -> list[int]:
        """The supernets."""
        return sorted({seed for seed, _ in self.ms})

    def gain(self) -> Effect:
        """Return by how much limiting latency lowers the cross-entropy at equal measured latency, against MACs.

        At a latency a search's best is the best of what it took that takes no longer; both are compared at latencies
        that lie evenly where both have one.
        """
        return Effect(tuple(self._gain(seed) for seed in self.seeds))

    def _gain(self, seed: int) -> float:
        took = [(self.ms[seed, by], self.entropy[seed, by]) for by in ("latency", "macs")]
        first, last = max(ms.min() for ms, _ in took), max(ms.max() for ms, _ in took)
        gains = [np.subtract(*(best(*each, at) for each in reversed(took))) for at in np.linspace(first, last, POINTS)]
        return float(np.mean(gains))

    def bootstrap(self) -> tuple[float, float]:
        """Return the gain's interval of 95% by bootstrap over the supernets."""
        values = np.array(self.gain().values)
        means = values[np.random.default_rng(0).integers(len(values), size=(BOOTSTRAP, len(values)))].mean(1)
        low, high = np.percentile(means, (2.5, 97.5))
        return float(low), float(high)

    def over(self, by: str) -> float:
        """Return in what share of searches what was taken takes longer than the limit, by more than one per cent."""
        late = [self.ms[seed, by] > 1.01 * self.limits for seed in self.seeds]
        return float(np.mean(late))


def best(ms: NDArray[np.float64], entropy: NDArray[np.float64], at: float) -> float:
    """Return the least cross-entropy of what takes no longer."""
    return float(entropy[ms <= at * (1 + 1e-9)].min())


def searched(done: Sequence[Done]) -> Searched | None:
    """Read the searches; None before the winners are timed and judged."""
    took = by_name(done, search.WINNERS).get("all")
    judged = by_name(done, search.JUDGED)
    if took is None or len(judged) < len(search.SEEDS):
        return None
    measured = {int(number): float(np.mean(ms)) for number, ms in took["ms"].items()}
    ms, entropy = {}, {}
    for seed, each in search.winners(done).items():
        own = judged[f"seed {seed}"]
        for by, numbers in each.items():
            ms[seed, by] = np.array([measured[number] for number in numbers])
            entropy[seed, by] = np.array([own[str(number)]["cross_entropy"] for number in numbers])
    predicted = np.array(by_name(done, search.PREDICTED)["profile"]["ms"])
    # By what predictions are off on the day, for all alike: another clock, a faster machine.
    pace = float(np.median([measured[number] / predicted[number] for number in range(search.COMPARED)]))
    order = np.sort(predicted)
    limits = pace * np.array([order[round(share * len(order)) - 1] for share in search.SHARES])
    return Searched(ms, entropy, limits)
