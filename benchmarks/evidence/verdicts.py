"""What the results say of the claims about training: pure functions of what is done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from evidence import pairs, residual, sampling
from evidence.effect import Effect
from evidence.job import Done
from evidence.lesson import CHANCE, counted

ResidualKey = tuple[int, int, int, bool]  # depth, times the rate, seed, with or without
LEARNS_NOTHING = 0.99  # of chance's cross-entropy: a run that ends above it failed
WANTED = 3  # times as far as seeds must networks lie apart


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
