"""The emitted graph against the traced ones, interleaved on one runtime. Run: make bench, which runs them all.

fp32 on a CPU is bound by its matrix products, which are the same in both but for the last block: there the emitted
graph computes the class token alone (3% fewer MACs in small). The rest of the gain is work between the products:
no data is moved around attention, norms and biases are folded, pooling needs no change of layout.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recording import ratio

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.exporting.export import export
from resnas_deploy.exporting.request import Request
from resnas_deploy.images.samples import noise
from resnas_deploy.measuring.timing import time_interleaved, timed
from resnas_deploy.runners.base import Options, usable_cores
from resnas_deploy.runners.registry import RUNNERS

ROUNDS = {1: 100, 16: 25}


@pytest.fixture(scope="module")
def artifact(checkpoint, tmp_path_factory) -> Artifact:
    folder: Path = tmp_path_factory.mktemp("emitted") / "small"
    return export(
        lambda: checkpoint,
        Request("small", folder, verify_on=RUNNERS["ort-cpu"], threads=usable_cores()),
        lambda _: None,
    )


@pytest.mark.parametrize("batch", [1, 16])
@pytest.mark.parametrize("runner", ["ort-cpu", "openvino"])
def test_emitted_against_traced(benchmark, artifact, traced, record, runner, batch):
    threads = usable_cores()
    images = noise(batch, 224)
    candidates = {"emitted": Options(threads, shares_cores=True)} | {
        name: Options(threads, graph.path.read_bytes(), shares_cores=True) for name, graph in traced.items()
    }
    opened = {name: RUNNERS[runner].open(artifact, options) for name, options in candidates.items()}
    logits = {name: network.run(images)["logits"] for name, network in opened.items()}
    for name, found in logits.items():
        error = np.abs(found - logits["emitted"]).max() / np.abs(found).max()
        assert error <= 1e-5, f"{name} computes something else: {error:.1e}"
    steps = {name: timed(network.step(images)) for name, network in opened.items()}
    rounds = benchmark.pedantic(
        time_interleaved, args=(steps, ROUNDS[batch], np.random.default_rng(0)), rounds=1, iterations=1
    )
    samples = rounds.samples
    record(
        f"latency-{runner}-batch{batch}",
        {
            "network": "small, fp32",
            "runner": opened["emitted"].version,
            "threads": threads,
            "batch": batch,
            "rounds": ROUNDS[batch],
            "median_ms": {name: float(np.median(times)) * 1e3 for name, times in samples.items()},
            "emitted_over": {
                name: ratio(samples["emitted"], times) for name, times in samples.items() if name != "emitted"
            },
            "samples_s": samples,
        },
    )
    for network in opened.values():
        network.close()
