"""What is made of results: effects of known size, and what is said of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from evidence import residual, sampling, verdicts
from evidence.effect import Effect
from evidence.job import Done
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
        ((1.0, -1.0, 0.1), "not seen", "**Not seen, and an effect above 3.102 nats would have been**"),
        ((1.0,), "not seen", "**Not seen, and an effect above inf nats would have been**"),
    ],
)
def test_a_verdict_follows_from_the_interval(values, verdict, sentence):
    effect = Effect(values)
    assert effect.verdict == verdict
    assert effect.sentence().startswith(sentence[:40])
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
        for job in residual.jobs()
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
    assert found.effect(12, 1, residual.STEPS).values[0] == pytest.approx(residual.CHANCE - 2)


def test_half_a_pair_is_left_out():
    there = [one for one in runs(lambda _: 2.0) if one.name != "depth 12, rate 1x, seed 5, without"]
    assert verdicts.residuals(there).seeds(12, 1) == [0, 1, 2, 3, 4]


def test_the_gate_compares_networks_with_seeds():
    entropy = {"network 00": (1.0, 1.02), "network 05": (1.5, 1.48), "network 10": (2.0, 2.02)}
    done = [
        Done(sampling.ALONE, f"{name}, seed {seed}", f"{name}{seed}", 1.0, MACHINE, found)
        for name, each in entropy.items()
        for seed, value in enumerate(each)
        for found in ({"macs": 1, "read": [{"cross_entropy": value}]},)
    ]
    gate = verdicts.gate(done)
    assert gate.within == pytest.approx(0.02 / math.sqrt(2))
    assert gate.between == pytest.approx(np.std([1.01, 1.49, 2.01], ddof=1))
    assert gate.ratio > 30


@pytest.mark.parametrize("true", [0.0, 0.03, 0.1])
def test_a_spread_is_what_is_left_without_noise(true):
    rng = np.random.default_rng(1)
    own = 1 + true * stats.zscore(rng.normal(0, 1, 400), ddof=1)
    found = verdicts.spread_of(own[:, None] + rng.normal(0, 0.02, (400, 2)), np.argsort(np.argsort(own)).tolist())
    assert found.noise == pytest.approx(0.02, rel=0.1)
    assert found.share == pytest.approx(true, abs=0.006)
    assert found.low <= found.share <= found.high
    assert (found.with_depth > 0.8) == (true > 0)


def test_the_gain_at_equal_latency_is_read_between_winners():
    ms = np.array([1.0, 2.0, 3.0])
    found = verdicts.Searched(
        {(seed, by): ms + shift for seed in range(3) for by, shift in (("latency", 0.0), ("macs", 0.5))},
        {(seed, by): 3.0 - 0.5 * ms for seed in range(3) for by in ("latency", "macs")},
        ms,
    )
    # The same cross-entropy half a millisecond later, at half a nat a millisecond.
    assert found.gain().values == pytest.approx([0.25] * 3)
    assert (found.over("latency"), found.over("macs")) == (0.0, 1.0)
