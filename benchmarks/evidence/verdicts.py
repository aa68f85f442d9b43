"""What the results say of each claim: pure functions of what is done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evidence import residual, sampling, search, spread
from evidence.effect import Effect
from evidence.job import Done

ResidualKey = tuple[int, int, int, bool]  # depth, times the rate, seed, with or without
BOOTSTRAP = 10_000


@dataclass(frozen=True)
class Gate:
    """Whether networks that are trained alone differ by more than a seed does."""

    entropy: Mapping[str, tuple[float, ...]]  # by network, of each seed
    macs: Mapping[str, int]

    @property
    def between(self) -> float:
        """The standard deviation of the networks' means, nats."""
        return float(np.std([np.mean(each) for each in self.entropy.values()], ddof=1))

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


def gate(done: Sequence[Done], part: str = sampling.ALONE) -> Gate:
    """Compare the networks that were trained alone with every seed that there is to be."""
    found = by_name(done, part)
    entropy: dict[str, list[float]] = {}
    counted = {}
    for name, one in found.items():
        network = name.partition(",")[0]
        entropy.setdefault(network, []).append(one["read"][-1]["cross_entropy"])
        counted[network] = one["macs"]
    whole = {name: tuple(each) for name, each in sorted(entropy.items()) if len(each) == len(sampling.ALONE_SEEDS)}
    return Gate(whole, counted)


@dataclass(frozen=True)
class Residual:
    """The runs with and without the residual of the reductions."""

    entropy: Mapping[ResidualKey, Mapping[int, float]]  # nats on the validation pictures, by step
    failed: frozenset[ResidualKey]  # whose loss was not finite, or that ended no better than chance

    def seeds(self, depth: int, times: int) -> list[int]:
        """Return the seeds of which both runs are done."""
        there = [{key[2] for key in self.entropy if key == (depth, times, key[2], way)} for way in (True, False)]
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
    """Read the runs. What is missing of one whose loss was not finite counts as chance."""
    found = by_name(done, residual.PART)
    entropy: dict[ResidualKey, Mapping[int, float]] = {}
    failed = set()
    for job in residual.jobs():
        if job.name not in found:
            continue
        one, told = found[job.name], job.settings
        key = told["depth"], told["rate"], told["seed"], told["residual"]
        read = {row["step"]: row["cross_entropy"] for row in one["read"]}
        entropy[key] = {step: read.get(step, residual.CHANCE) for step in residual.READ_AT}
        if one["diverged"] or entropy[key][residual.STEPS] > 0.99 * residual.CHANCE:
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

    def correlations(self, groups: int, step: int) -> list[float]:
        """Return Spearman's rank correlation with training alone, by seed."""
        if self.alone is None:
            return []
        ranked = (self.ranked[groups, seed, step] for seed in self.seeds(groups))
        return [float(stats.spearmanr(each, self.alone).statistic) for each in ranked]


def samplings(done: Sequence[Done]) -> Sampling:
    """Read the supernets."""
    random, ranked = {}, {}
    found = by_name(done, sampling.PART)
    for job in sampling.jobs():
        if job.name in found:
            for row in found[job.name]["read"]:
                key = job.settings["groups"], job.settings["seed"], row["step"]
                random[key], ranked[key] = (np.array(row[what]["cross_entropy"]) for what in ("random", "ranked"))
    networks = gate(done).entropy
    alone = np.array([np.mean(each) for each in networks.values()]) if len(networks) == sampling.RANKED else None
    return Sampling(random, ranked, alone)


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
    """Return the spread of latency of every setting that was timed, and of kernels of every space."""
    found = {}
    for name, one in by_name(done, spread.PART).items():
        networks = one["networks"]
        depths = [sum(network["depths"]) for network in networks]
        found[name] = spread_of(np.array([network["ms"] for network in networks]), depths)
    counted: dict[str, list[Mapping[str, Any]]] = {}
    for name, one in by_name(done, spread.KERNELS).items():
        counted.setdefault(name.rpartition(", ")[0], []).append(one)
    for name, each in counted.items():
        if len(each) > 1:
            kernels = np.array([[one["kernels"]] * 2 for one in each], np.float64)
            depths = [sum(one["depths"]) for one in each]
            found[f"{name}, kernels of TensorRT for RTX fp16"] = spread_of(kernels, depths)
    return found


@dataclass(frozen=True)
class Searched:
    """Both searches of every supernet: what they took at each limit."""

    ms: Mapping[tuple[int, str], NDArray[np.float64]]  # measured, by seed and by what was limited
    entropy: Mapping[tuple[int, str], NDArray[np.float64]]
    limits: NDArray[np.float64]  # ms, as predicted

    @property
    def seeds(self) -> list[int]:
        """The supernets."""
        return sorted({seed for seed, _ in self.ms})

    def gain(self) -> Effect:
        """Return by how much limiting latency lowers the cross-entropy at equal measured latency, against MACs.

        Between two winners the cross-entropy is linear in latency; it is compared where both reach, at the latencies
        of both.
        """
        return Effect(tuple(self._gain(seed) for seed in self.seeds))

    def _gain(self, seed: int) -> float:
        ours, other = (front(self.ms[seed, by], self.entropy[seed, by]) for by in ("latency", "macs"))
        at = np.unique(np.concatenate([ours[0], other[0]]))
        at = at[(at >= max(ours[0][0], other[0][0])) & (at <= min(ours[0][-1], other[0][-1]))]
        return float(np.mean(np.interp(at, *other) - np.interp(at, *ours)))

    def over(self, by: str) -> float:
        """Return in what share of searches what was taken takes longer than the limit, by more than one per cent."""
        late = [self.ms[seed, by] > 1.01 * self.limits for seed in self.seeds]
        return float(np.mean(late))


def front(ms: NDArray[np.float64], entropy: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return different winners by latency."""
    kept = {float(time): float(value) for time, value in sorted(zip(ms, entropy, strict=True))}
    return np.array(list(kept)), np.array(list(kept.values()))


def searched(done: Sequence[Done]) -> Searched | None:
    """Read the searches; None before the winners are timed and judged."""
    took = by_name(done, search.WINNERS).get("all")
    judged = by_name(done, search.JUDGED)
    if took is None or len(judged) < len(search.SEEDS):
        return None
    ms, entropy = {}, {}
    for seed, each in search.winners(done).items():
        for by, numbers in each.items():
            ms[seed, by] = np.array([np.mean(took["ms"][str(number)]) for number in numbers])
            own = judged[f"seed {seed}"]
            entropy[seed, by] = np.array([own[str(number)]["cross_entropy"] for number in numbers])
    predicted = np.sort(by_name(done, search.PREDICTED)["profile"]["ms"])
    limits = np.array([predicted[round(share * len(predicted)) - 1] for share in search.SHARES])
    return Searched(ms, entropy, limits)
