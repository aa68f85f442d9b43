"""A whole load test: levels, then the search for capacity, over every protocol of a server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np

from resnas_deploy.errors import BadInput
from resnas_deploy.progress import Counted, Progress, silent
from resnas_deploy.serving.load.capacity import Capacity, LatencyLimit, ServersNeeded, find_capacity
from resnas_deploy.serving.load.level import AskedModel, Level, LevelResult, run_level
from resnas_deploy.serving.load.result import LoadTestResult

USUAL_CONCURRENCIES = (1, 2, 4, 8)
_ANSWERS = 200  # at least, for a 99th percentile that is not the slowest answer alone
_LIMITS = 10  # a level lasts so many times the limit: a queue that grows needs a while to break it
_ALONE_S = 2.0  # of one client alone, half of whose rate the search begins with


@dataclass(frozen=True)
class LoadTest:
    """What is to be measured. Raises `BadInput` for a demand without a limit."""

    levels: Sequence[Level]
    seconds: float  # of each
    p99_ms: float | None = None  # the limit whose highest rate is searched
    demand: float | None = None  # requests a second that servers are counted for
    seed: int = 0  # of the times between requests

    def __post_init__(self) -> None:
        if self.demand is not None and self.p99_ms is None:
            raise BadInput("`plan` must come with `p99`, the limit that the servers are to keep, found none")
        for name, found in (("seconds", self.seconds), ("p99", self.p99_ms), ("plan", self.demand)):
            if found is not None and not 0 < found < float("inf"):
                raise BadInput(f"`{name}` must be a number above 0, found {found:g}")
        if self.seed < 0:
            raise BadInput(f"`seed` must be a whole number from 0, found {self.seed}")

    @staticmethod
    def of(
        concurrencies: Sequence[int],
        rates: Sequence[float],
        *,
        seconds: float,
        p99_ms: float | None = None,
        demand: float | None = None,
        seed: int = 0,
    ) -> LoadTest:
        """Return the test of these levels; of the usual ones where neither they nor a limit are given."""
        if not (concurrencies or rates or p99_ms is not None):
            concurrencies = USUAL_CONCURRENCIES
        levels = [Level(concurrency=number) for number in concurrencies] + [Level(rate=rate) for rate in rates]
        return LoadTest(levels, seconds, p99_ms, demand, seed)


def run_load_test(wanted: LoadTest, models: Sequence[AskedModel], progress: Progress = silent) -> LoadTestResult:
    """Run every level on every model, then the search; it ends early where the server is lost.

    Raise `BadInput` where the server does not answer a level's first request.
    """
    rng = np.random.default_rng(wanted.seed)
    levels, capacities, servers = list[LevelResult](), dict[str, Capacity](), dict[str, ServersNeeded]()

    known = len(models) * len(wanted.levels)  # where no limit is searched, which takes as many as it takes

    def run(model: AskedModel, level: Level, seconds: float) -> LevelResult:
        text = f"{model.name}, {level}, {model.address.protocol}, {seconds:.0f} s"
        progress(text if wanted.p99_ms else Counted(text, len(levels), known, stage="levels"))
        levels.append(run_level(model, level, seconds, rng))
        if levels[-1].server is None:
            raise _Gone
        return levels[-1]

    def run_long(model: AskedModel, limit: LatencyLimit, level: Level) -> LevelResult:
        return run(model, level, max(wanted.seconds, _ANSWERS / level.rate, _LIMITS * limit.ms / 1e3))

    with suppress(_Gone):
        for model in models:
            for level in wanted.levels:
                run(model, level, wanted.seconds)
            if wanted.p99_ms is not None:
                limit = LatencyLimit(99, wanted.p99_ms)
                alone = run(model, Level(concurrency=1), min(wanted.seconds, _ALONE_S))
                capacity = find_capacity(partial(run_long, model, limit), limit, alone.requests_per_second / 2)
                capacities[model.address.protocol] = capacity
                if wanted.demand is not None and capacity.rate:
                    servers[model.address.protocol] = capacity.servers_for(wanted.demand)
    return LoadTestResult(models[0].name, models[0].cached, tuple(levels), capacities, servers)


class _Gone(Exception):
    """The server was lost."""
