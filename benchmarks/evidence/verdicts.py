"""What the results say of each claim: pure functions of what is done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evidence import pairs, residual, sampling, search, spread
from evidence.effect import Effect
from evidence.job import Done
from evidence.lesson import CHANCE, counted

ResidualKey = tuple[int, int, int, bool]  # depth, times the rate, seed, with or without
BOOTSTRAP = 10_000
LEARNS_NOTHING = 0.99  # of chance's cross-entropy: a run that ends above it failed
POINTS = 20  # latencies at which searches are compared
WANTED = 3  # times as far as seeds must networks lie apart
LEAST = 0.05  # of spread: below it a search by latency has little to gain


@dataclass(frozen=True)
class Gate:
    """Whether networks that are trained alone differ by more than a seed does."""

    entropy: Mapping[str, tuple[float, ...]]  # by network, of each seed
    macs: Mapping[str, int]

    @property
    def between(self) -> float:
        """The standard deviation of the networks, nats: of their means, less what seeds add to it."""
        means, seeds = [np.mean(each) for each in self.entropy.values()], len(sampling.ALONE_SEEDS)
        return math.sqrt(max(0.0, float(np.var(means, ddof=1)) - self.within**2 / seeds))

    @property
    def within(self) -> float:
        """That of the seeds of a network, pooled."""
        return float(np.sqrt(np.mean([np.var(each, ddof=1) for each in self.entropy.values()])))

    @property
    def ratio(self) -> float:
        """How many times as far networks lie apart as seeds do."""
        return self.between / self.within


def by_name(done: Sequence[Done], part: str) -> dict[str, Mapping[str, Any]]:
    """Return what was found of a part."""
    return {one.name: one.found for one in done if one.part == part}


def at_step(one: Mapping[str, Any], step: int) -> float:
    """Return the cross-entropy that was read after so many steps, as it counts."""
    return counted(next((row["cross_entropy"] for row in one["read"] if row["step"] == step), None))


def gate(done: Sequence[Done], part: str = sampling.ALONE) -> Gate:
    """Compare the networks that were trained alone with every seed that there is to be."""
    found = by_name(done, part)
    entropy: dict[str, list[float]] = {}
    cost = {}
    for name, one in found.items():
        network = name.partition(",")[0]
        entropy.setdefault(network, []).append(at_step(one, sampling.STEPS))
        cost[network] = one["macs"]
    whole = {name: tuple(each) for name, each in sorted(entropy.items()) if len(each) == len(sampling.ALONE_SEEDS)}
    return Gate(whole, cost)


@dataclass(frozen=True)
class Residual:
    """The runs with and without the residual of the reductions."""

    entropy: Mapping[ResidualKey, Mapping[int, float]]  # nats on the validation pictures, by step
    failed: frozenset[ResidualKey]  # whose loss was not finite, or that ended no better than chance

    def seeds(self, depth: int, times: int) -> list[int]:
        """Return the seeds of which both runs are done."""
        there = [
            {seed for own, rate, seed, way in self.entropy if (own, rate, way) == (depth, times, wanted)}
            for wanted in (True, False)
        ]
        return sorted(set.intersection(*there))

    def effect(self, depth: int, times: int, step: int, seeds: Sequence[int] | None = None) -> Effect:
        """Return by how much the residual lowers the cross-entropy."""
        chosen = self.seeds(depth, times) if seeds is None else seeds
        return Effect(
            tuple(
                self.entropy[depth, times, seed, False][step] - self.entropy[depth, times, seed, True][step]
                for seed in chosen
            )
        )

    def interaction(self, times: int, step: int) -> Effect:
        """Return by how much more it lowers it in deep networks than in shallow ones."""
        deep, shallow = residual.DEPTHS
        both = sorted(set(self.seeds(deep, times)) & set(self.seeds(shallow, times)))
        ours, other = (self.effect(depth, times, step, both).values for depth in (deep, shallow))
        return Effect(tuple(a - b for a, b in zip(ours, other, strict=True)))

    def mean(self, depth: int, times: int, step: int, *, way: bool) -> float:
        """Return the mean cross-entropy over the seeds of which both runs are done."""
        return float(np.mean([self.entropy[depth, times, seed, way][step] for seed in self.seeds(depth, times)]))

    def failures(self, depth: int, times: int, *, way: bool) -> int:
        """Count the runs that failed, of the seeds of which both runs are done."""
        return sum((depth, times, seed, way) in self.failed for seed in self.seeds(depth, times))


def residuals(done: Sequence[Done]) -> Residual:
    """Read the runs."""
    found = by_name(done, residual.PART)
    entropy: dict[ResidualKey, Mapping[int, float]] = {}
    failed = set()
    for job in residual.jobs([], pairs.ALL):
        if job.name not in found:
            continue
        one, told = found[job.name], job.settings
        key = told["depth"], told["rate"], told["seed"], told["residual"]
        entropy[key] = {step: at_step(one, step) for step in residual.READ_AT}
        if one["diverged"] or entropy[key][residual.STEPS] > LEARNS_NOTHING * CHANCE:
            failed.add(key)
    return Residual(entropy, frozenset(failed))


@dataclass(frozen=True)
class Sampling:
    """The supernets: the cross-entropy of their subnets."""

    random: Mapping[tuple[int, int, int], NDArray[np.float64]]  # by groups, seed and step: random ones and both ends
    ranked: Mapping[tuple[int, int, int], NDArray[np.float64]]
    alone: NDArray[np.float64] | None  # of the ranked ones, trained alone: the mean over seeds

    def seeds(self, *groups: int) -> list[int]:
        """Return the seeds of which the supernets of all these ways are done."""
        there = [{seed for own, seed, _ in self.random if own == count} for count in groups]
        return sorted(set.intersection(*there))

    def of(self, groups: int, step: int, what: str, seeds: Sequence[int]) -> list[float]:
        """Return the cross-entropy by seed: of the `random` ones in the mean, the `widest` or the `narrowest`."""
        chosen = {"random": slice(0, sampling.RANDOM), "widest": slice(-2, -1), "narrowest": slice(-1, None)}[what]
        return [float(self.random[groups, seed, step][chosen].mean()) for seed in seeds]

    def effect(self, groups: int, step: int, what: str = "random") -> Effect:
        """Return by how much so many subnets a step lower it, against one."""
        seeds = self.seeds(groups, 1)
        ours, single = (self.of(count, step, what, seeds) for count in (groups, 1))
        return Effect(tuple(b - a for a, b in zip(ours, single, strict=True)))

    def correlation(self, groups: int, step: int, seed: int) -> float:
        """Return Spearman's rank correlation of the ranked subnets with training alone."""
        return float(stats.spearmanr(self.ranked[groups, seed, step], self.alone).statistic)

    def correlations(self, groups: int, step: int) -> list[float]:
        """Return it by seed; nothing before all are trained alone."""
        return [] if self.alone is None else [self.correlation(groups, step, seed) for seed in self.seeds(groups)]

    def ranks(self, groups: int, step: int) -> Effect:
        """Return by how much the rank correlation is higher with so many subnets a step than with one."""
        seeds = self.seeds(groups, 1) if self.alone is not None else []
        return Effect(tuple(self.correlation(groups, step, seed) - self.correlation(1, step, seed) for seed in seeds))


def samplings(done: Sequence[Done]) -> Sampling:
    """Read the supernets. What is missing of one whose loss was not finite counts as chance."""
    found = by_name(done, sampling.PART)
    tables: dict[str, dict[tuple[int, int, int], NDArray[np.float64]]] = {"random": {}, "ranked": {}}
    for job in sampling.jobs([], pairs.ALL):
        if job.name in found:
            rows = {row["step"]: row for row in found[job.name]["read"]}
            for step in sampling.READ_AT:
                key = job.settings["groups"], job.settings["seed"], step
                for what, count in (("random", sampling.RANDOM + 2), ("ranked", sampling.RANKED)):
                    values = rows[step][what]["cross_entropy"] if step in rows else [None] * count
                    tables[what][key] = np.array([counted(value) for value in values])
    networks = gate(done).entropy
    alone = np.array([np.mean(each) for each in networks.values()]) if len(networks) == sampling.RANKED else None
    return Sampling(tables["random"], tables["ranked"], alone)


def baselines(found: Gate) -> tuple[float, float]:
    """Return what a rank correlation has to be compared with: that of MACs alone, and of one seed with the other."""
    values = np.array(list(found.entropy.values()))
    macs = np.array([found.macs[name] for name in found.entropy])
    by_macs, by_seed = stats.spearmanr(-macs, values.mean(1)), stats.spearmanr(values[:, 0], values[:, 1])
    return float(by_macs.statistic), float(by_seed.statistic)


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
