"""Predictions a second: a search asks for the latency of every network that it draws.

Run: make bench, which runs them all.
"""

from __future__ import annotations

import numpy as np

from resnas_deploy.measuring.latency.features import Terms
from resnas_deploy.measuring.latency.regression import fit
from resnas_deploy.weights.space_files import packaged_spaces

COUNT, ROUNDS = 10_000, 10


def test_predictions_a_second(benchmark, record):
    space, rng = packaged_spaces()["small"], np.random.default_rng(0)
    archs = [space.sample(rng).arch for _ in range(COUNT)]
    terms = Terms(3).of(archs[:120])
    model = fit(archs[:120], terms @ (1 / len(Terms(3).names) / terms.mean(axis=0)), 40.0, np.random.default_rng(0))
    found = benchmark.pedantic(model.predict, args=(archs,), rounds=ROUNDS, iterations=1, warmup_rounds=1)
    assert found.ms.shape == (COUNT,)
    assert (found.low <= found.ms).all()
    samples = list(benchmark.stats.stats.data)
    median = float(np.median(samples))
    record(
        "latency-predict-speed",
        {
            "what": "the terms of the regression and their product with the weights, from architectures on",
            "space": space.name,
            "networks": COUNT,
            "median_s": median,
            "networks_per_second": COUNT / median,
            "samples_s": samples,
        },
    )
