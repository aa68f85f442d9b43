"""How a server should form batches, from measured latencies and a stated limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnas_deploy.errors import BadInput

_NEAR_BEST = 0.95  # of the best throughput: a larger batch that gains less is not worth its latency


@dataclass(frozen=True)
class Batching:
    """Triton's dynamic batching (its model configuration, `ModelDynamicBatching`)."""

    preferred: tuple[int, ...] = ()  # batch sizes that are run at once when they are full
    queue_delay_us: int = 0  # how long a request may wait for others, in microseconds


def batching_for(latency_ms: Mapping[int, float], most: int, target_ms: float) -> Batching:
    """Batch sizes and a delay with which a request is answered within `target_ms`, if the server is not overloaded.

    `latency_ms` are measured by batch size. A request waits for others, then for the batch that is running, then for
    its own: so a batch may take half of the target, and the delay is what the two leave. Preferred is the smallest
    batch within 5% of the best throughput of those that fit, and smaller measured ones that divide it.

    Raises `BadInput` where nothing that was measured fits.
    """
    if not target_ms > 0:
        raise BadInput(f"a latency target must be more than 0 ms, found {target_ms:g}")
    fitting = {batch: took for batch, took in sorted(latency_ms.items()) if batch <= most and 2 * took <= target_ms}
    if not fitting:
        fastest = min(latency_ms.values(), default=0.0)
        raise BadInput(
            f"the latency target must leave room for two batches in a row, found {target_ms:g} ms with a fastest batch "
            f"of {fastest:.1f} ms; raise it, or measure smaller batches (resnas bench --batch)"
        )
    throughput = {batch: batch / took for batch, took in fitting.items()}
    best = min(batch for batch, found in throughput.items() if found >= _NEAR_BEST * max(throughput.values()))
    delay_us = round(1000 * (target_ms - 2 * fitting[best])) if best > 1 else 0
    return Batching(tuple(batch for batch in fitting if 1 < batch <= best and best % batch == 0), delay_us)
