"""A whole load test: levels, then the search for capacity, on every address of a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from resnas_deploy.serving.load.capacity import Capacity, Fleet, LatencyLimit, find_capacity, plan
from resnas_deploy.serving.load.level import AskedModel, Level, LevelResult, run_level

SHARES = (50, 90, 95, 99)  # percentiles in the document
_ANSWERS = 200  # at least, for a 99th percentile that is not the slowest answer alone
_LIMITS = 10  # a level lasts so many times the limit: a queue that grows needs a while to break it
_ALONE_S = 2.0  # of one client alone, half of whose rate the search begins with


@dataclass(frozen=True)
class LoadTest:
    """What is to be measured."""

    levels: Sequence[Level]
    seconds: float  # of each
    p99_ms: float | None = None  # the limit whose highest rate is searched
    demand: float | None = None  # requests a second that a plan is for


@dataclass(frozen=True)
class LoadTestResult:
    """What came of it, by protocol."""

    model: str
    cached: bool  # its answers came from the server's cache
    loads: tuple[LevelResult, ...]  # in the order that they ran, those of the search too
    capacities: Mapping[str, Capacity]
    plans: Mapping[str, Fleet]

    @property
    def gone(self) -> LevelResult | None:
        """The level at which the server was lost, which is the last."""
        return next((load for load in self.loads if load.server is None), None)

    def to_json(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {
            "model": self.model,
            "cached": self.cached,
            "levels": [_described(load) for load in self.loads],
            "capacity": {
                protocol: {
                    "percentile": found.limit.percentile,
                    "limit_ms": found.limit.ms,
                    "requests_per_second": found.rate,
                }
                for protocol, found in self.capacities.items()
            },
            "plan": {
                protocol: {"requests_per_second": found.rate, "servers": found.servers, "margin": found.margin}
                for protocol, found in self.plans.items()
            },
        }


def sweep(wanted: LoadTest, targets: Sequence[AskedModel], seed: int, tell: Callable[[str], None]) -> LoadTestResult:
    """Run every level on every target, then the search; it ends early where the server is lost.

    Raises `BadInput` where the server does not answer a level's first request.
    """
    rng = np.random.default_rng(seed)
    loads, capacities, plans = list[LevelResult](), dict[str, Capacity](), dict[str, Fleet]()

    def run(target: AskedModel, level: Level, seconds: float) -> LevelResult:
        tell(f"{target.model}, {level}, {target.address.protocol}, {seconds:.0f} s")
        loads.append(run_level(target, level, seconds, rng))
        if loads[-1].server is None:
            raise _Gone
        return loads[-1]

    def run_long(target: AskedModel, limit: LatencyLimit, level: Level) -> LevelResult:
        return run(target, level, max(wanted.seconds, _ANSWERS / level.rate, _LIMITS * limit.ms / 1e3))

    with suppress(_Gone):
        for target in targets:
            for level in wanted.levels:
                run(target, level, wanted.seconds)
            if wanted.p99_ms is not None:
                limit = LatencyLimit(99, wanted.p99_ms)
                alone = run(target, Level(concurrency=1), min(wanted.seconds, _ALONE_S))
                capacity = find_capacity(partial(run_long, target, limit), limit, alone.requests_per_second / 2)
                capacities[target.address.protocol] = capacity
                if wanted.demand is not None and capacity.rate:
                    plans[target.address.protocol] = plan(capacity, wanted.demand)
    return LoadTestResult(targets[0].model, targets[0].cached, tuple(loads), capacities, plans)


class _Gone(Exception):
    """The server was lost."""


def _described(load: LevelResult) -> dict[str, object]:
    server = load.server
    return {
        "concurrency": load.level.concurrency or None,
        "rate": load.level.rate or None,
        "protocol": load.protocol,
        "images_per_request": load.images,
        "seconds": load.seconds,
        "answers": len(load.latencies_s),
        "failures": len(load.failures),
        "first_failure": load.failures[0] if load.failures else None,
        "requests_per_second": load.requests_per_second,
        "latency_ms": {f"p{share}": load.percentile_ms(share) for share in SHARES} if load.latencies_s else None,
        "late_ms": load.late_ms,
        "server": server
        and {
            "queue_us": server.queue_us,
            "compute_us": server.compute_us,
            "inferences": server.inferences,
            "executions": server.executions,
            "executions_by_batch": {str(size): count for size, count in server.batches.items()},
        },
    }
