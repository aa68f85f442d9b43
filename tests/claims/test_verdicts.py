"""What is made of results: effects of known size, and what is said of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evidence import latencies, pairs, residual, sampling, search, verdicts
from evidence.effect import Effect
from evidence.job import Done
from evidence.lesson import CHANCE
from scipy import stats

MACHINE = {"cpu": "a processor", "instructions": "avx2"}


def test_an_interval_is_student_s():
    values = (0.1, 0.4, -0.2, 0.3, 0.25, 0.05)
    effect = Effect(values)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (effect.low, effect.high) == (pytest.approx(low), pytest.approx(high))


def test_of_experiments_with_the_detectable_effect_four_in_five_show_it():
    """Drawn anew with the true scatter known to nobody: each has its own idea of what it could have seen."""
    rng = np.random.default_rng(0)
    detectable = float(np.mean([Effect(tuple(row)).detectable for row in rng.normal(0, 1, (1000, 6))]))
    seen = [Effect(tuple(row)).verdict == "seen" for row in rng.normal(detectable, 1, (1000, 6))]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize(
    ("values", "verdict", "sentence"),
    [
        ((1.0, 1.1, 0.9), "seen", "**Seen**"),
        ((-1.0, -1.1, -0.9), "contradicted", "**Contradicted**"),
        (
            (1.0, -1.0, 0.1),
            "not seen",
            "**Not seen, and an effect above 3.102 nats would have been** (in four of five such experiments)",
        ),
        (
            (1.0,),
            "not seen",
            "**Not seen, and an effect above inf nats would have been** (in four of five such experiments)",
        ),
    ],
)
def test_a_verdict_follows_from_the_interval(values, verdict, sentence):
    effect = Effect(values)
    assert effect.verdict == verdict
    assert effect.sentence() == sentence
    if verdict == "not seen" and len(values) > 1:
        assert effect.detectable > effect.high


def runs(of):
    """Return a campaign's residual runs, whose cross-entropy at every step is what `of` says of a job's settings."""
    return [
        Done(
            job.part,
            job.name,
            job.key,
            1.0,
            MACHINE,
            {
                "losses": [],
                "diverged": 0 if math.isfinite(of(job.settings)) else 7,
                "read": [
                    {"step": step, "cross_entropy": of(job.settings), "top1": 0.5}
                    for step in residual.READ_AT
                    if math.isfinite(of(job.settings))
                ],
            },
        )
        for job in residual.jobs([], pairs.ALL)
    ]


def test_the_residual_s_effect_is_of_pairs_and_its_interaction_with_depth():
    def entropy(told):
        return 2 + 0.1 * told["seed"] + (0.3 if told["depth"] == 12 else 0.05) * (not told["residual"])

    found = verdicts.residuals(runs(entropy))
    last = residual.STEPS
    assert found.effect(12, 1, last).values == pytest.approx([0.3] * 6)
    assert found.effect(2, 3, last).values == pytest.approx([0.05] * 6)
    assert found.interaction(1, last).mean == pytest.approx(0.25)
    assert found.failures(12, 1, way=True) == 0


def test_a_run_that_fails_counts_as_chance_and_is_told():
    def entropy(told):
        return math.inf if told["depth"] == 12 and not told["residual"] and told["seed"] == 0 else 2.0

    found = verdicts.residuals(runs(entropy))
    assert found.failures(12, 1, way=False) == 1
    assert found.failures(12, 1, way=True) == 0
    assert found.effect(12, 1, residual.STEPS).values[0] == pytest.approx(CHANCE - 2)


def test_half_a_pair_is_left_out():
    there = [one for one in runs(lambda _: 2.0) if one.name != "depth 12, rate 1x, seed 5, without"]
    assert verdicts.residuals(there).seeds(12, 1) == [0, 1, 2, 3, 4]


def test_the_gate_compares_networks_with_seeds():
    entropy = {"network 00": (1.0, 1.02), "network 05": (1.5, 1.48), "network 10": (2.0, 2.02)}
    done = [
        Done(sampling.ALONE, f"{name}, seed {seed}", f"{name}{seed}", 1.0, MACHINE, found)
        for name, each in entropy.items()
        for seed, value in enumerate(each)
        for found in ({"macs": 1, "read": [{"step": sampling.STEPS, "cross_entropy": value}]},)
    ]
    gate = verdicts.gate(done)
    assert gate.within == pytest.approx(0.02 / math.sqrt(2))
    assert gate.between == pytest.approx(math.sqrt(np.var([1.01, 1.49, 2.01], ddof=1) - 0.0002 / 2))
    assert gate.ratio > 30


@pytest.mark.parametrize("true", [0.0, 0.03, 0.1])
def test_a_spread_is_what_is_left_without_noise(true):
    rng = np.random.default_rng(1)
    own = 1 + true * stats.zscore(rng.normal(0, 1, 400), ddof=1)
    found = latencies.spread_of(own[:, None] + rng.normal(0, 0.02, (400, 2)), np.argsort(np.argsort(own)).tolist())
    assert found.noise == pytest.approx(0.02, rel=0.1)
    assert found.share == pytest.approx(true, abs=0.006)
    assert found.low <= found.share <= found.high
    assert (found.with_depth > 0.8) == (true > 0)


def test_the_gain_at_equal_latency_is_of_the_best_that_takes_no_longer():
    ms, entropy = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.5, 2.0])
    found = latencies.Searched(
        {(seed, by): ms for seed in range(3) for by in ("latency", "macs")},
        {(seed, by): entropy + (0.25 if by == "macs" else 0.0) for seed in range(3) for by in ("latency", "macs")},
        ms,
    )
    assert found.gain().values == pytest.approx([0.25] * 3)
    assert found.bootstrap() == (pytest.approx(0.25), pytest.approx(0.25))
    assert latencies.best(ms, entropy, 2.9) == 2.5
    late = latencies.Searched({(0, "latency"): ms, (0, "macs"): ms + 0.5}, found.entropy, ms)
    assert (late.over("latency"), late.over("macs")) == (0.0, 1.0)


def test_a_search_takes_the_best_of_the_cheapest():
    cost, entropy = np.arange(1000.0)[::-1], np.linspace(3, 2, 1000)  # the dearer the worse: the cheapest is the best
    assert search.taken(cost, entropy) == [999] * search.LIMITS
    dearer = search.taken(cost, entropy[::-1])
    assert [int(cost[one]) + 1 for one in dearer] == [round(share * 1000) for share in search.SHARES]


def campaign_of(ms, entropy):
    """Return a whole search of every supernet: predictions, scores, timings and judgements."""
    known = {search.PREDICTED: {"profile": {"ms": ms.tolist()}}, search.SCORES: {}, search.JUDGED: {}}
    for seed in search.SEEDS:
        for first in range(0, search.POOL, search.AT_ONCE):
            part = entropy[first : first + search.AT_ONCE].tolist()
            known[search.SCORES][f"seed {seed}, from {first:04}"] = {"cross_entropy": part}
        known[search.JUDGED][f"seed {seed}"] = {str(n): {"cross_entropy": float(e)} for n, e in enumerate(entropy)}
    known[search.WINNERS] = {"all": {"ms": {str(number): [2 * float(one)] * 2 for number, one in enumerate(ms)}}}
    return [
        Done(part, name, f"{part}{name}", 1.0, MACHINE, found)
        for part, each in known.items()
        for name, found in each.items()
    ]


def test_where_latency_is_what_matters_limiting_it_gains_and_where_it_is_macs_it_does_not(monkeypatch):
    rng = np.random.default_rng(0)
    macs = rng.uniform(1, 10, search.POOL)
    monkeypatch.setattr(search, "pool_macs", lambda: macs)
    ms = macs * rng.uniform(0.7, 1.3, search.POOL)
    quality = rng.uniform(0, 1, search.POOL)
    gains = latencies.searched(campaign_of(ms, 4 - 0.3 * macs + 0.1 * quality)).gain()
    assert gains.verdict == "seen"  # more arithmetic for the same time
    same = latencies.searched(campaign_of(macs.copy(), 4 - 0.3 * macs + 0.1 * quality))
    assert same.gain().values == pytest.approx([0.0] * len(search.SEEDS))
    assert same.over("latency") == 0  # twice as slow on the day as predicted, and the limits with it


def test_without_scores_of_every_supernet_there_is_no_search():
    done = campaign_of(np.linspace(1, 2, search.POOL), np.linspace(3, 2, search.POOL))
    less = [one for one in done if not one.name.startswith("seed 4, from 1900")]
    assert 4 not in search.winners(less)
    assert list(search.winner_jobs(less, pairs.ALL)) == []
