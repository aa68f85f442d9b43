"""How a server should form batches, from measured latencies and a stated limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.engines.identity import first_profile
from resnas_deploy.engines.store import Engine
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.report import read_report
from resnas_deploy.serving.repository.settings import Batching

_NEAR_BEST = 0.95  # of the best throughput: a larger batch that gains less is not worth its latency


def batching_from(result: Path, artifact: Artifact, most: int | None, target_ms: float | None) -> Batching:
    """Return batch sizes and a delay by the latencies of that very graph in a result of `bench()`.

    Without a target the slowest measured batch may wait for another one. Raise `BadInput` where the result has none of
    this graph, or nothing that was measured fits the target.
    """
    latency_ms = {
        item.configuration.batch: item.percentile(50)
        for item in read_report(result).measurements
        if item.samples_s and item.configuration.digest == artifact.digest and item.configuration.streams == 1
    }
    if not latency_ms:
        raise BadInput(f"{result} must have latencies of {artifact.folder}, found none of its graph; measure it again")
    slowest = 2 * max(latency_ms.values())
    return batching_for(latency_ms, most or artifact.batch.most, slowest if target_ms is None else target_ms)


def batching_of(engine: Engine | None) -> Batching:
    """Return what is usual where nothing was measured: an engine's batches are those that it is tuned for."""
    usual = first_profile(engine.made_of).usual if engine else 1
    return Batching((usual,) if usual > 1 else ())


def tuning_notes(engine: Engine, batching: Batching, max_batch: int | None) -> list[str]:
    """Say, a line each, where batches would be formed that an engine is not tuned for."""
    profile = first_profile(engine.made_of)
    usual, most = profile.usual, max_batch or profile.most
    wanted = max((size for size in batching.preferred if size <= most), default=most)
    notes = []
    if wanted != usual:
        notes.append(
            f"{engine.path} is tuned for batches of {usual}, and the server would form batches of {wanted}; "
            f"build one by `build()` with `optimum` {wanted}"
        )
    if (count := len(engine.made_of["profiles"])) > 1:
        notes.append(f"Triton uses the first of the {count} profiles of {engine.path}, {profile}")
    return notes


def batching_for(latency_ms: Mapping[int, float], most: int, target_ms: float) -> Batching:
    """Return batch sizes and a delay with which a request is answered within `target_ms`, short of an overload.

    `latency_ms` are measured by batch size. A request waits for others, then for the batch that is running, then for
    its own: so a batch may take half of the target, and the delay is what the two leave. Preferred is the smallest
    batch within 5% of the best throughput of those that fit, and smaller measured ones that divide it.

    Raise `BadInput` where nothing that was measured fits.
    """
    if not 0 < target_ms < math.inf:
        raise BadInput(f"a latency target must be more than 0 ms, found {target_ms:g}")
    fitting = {batch: took for batch, took in sorted(latency_ms.items()) if batch <= most and 2 * took <= target_ms}
    if not fitting:
        fastest = min(latency_ms.values(), default=0.0)
        raise BadInput(
            f"the latency target must leave room for two batches in a row, found {target_ms:g} ms with a fastest batch "
            f"of {fastest:.1f} ms; raise it, or measure smaller batches by `bench()`"
        )
    throughput = {batch: batch / took for batch, took in fitting.items()}
    best = min(batch for batch, found in throughput.items() if found >= _NEAR_BEST * max(throughput.values()))
    delay_us = round(1000 * (target_ms - 2 * fitting[best])) if best > 1 else 0
    return Batching(tuple(batch for batch in fitting if 1 < batch <= best and best % batch == 0), delay_us)
