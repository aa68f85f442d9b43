"""A whole load test: levels, then the search for capacity, over every protocol of a server; and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from resnas_deploy.errors import BadInput
from resnas_deploy.progress import Progress, silent
from resnas_deploy.serving.load.capacity import Capacity, LatencyLimit, ServersNeeded, find_capacity
from resnas_deploy.serving.load.level import AskedModel, Level, LevelResult, run_level

USUAL_CONCURRENCIES = (1, 2, 4, 8)
_SHARES = (50, 90, 95, 99)  # percentiles in tables and the document
_DRAWN = (50, 99)  # those in plots
_ANSWERS = 200  # at least, for a 99th percentile that is not the slowest answer alone
_LIMITS = 10  # a level lasts so many times the limit: a queue that grows needs a while to break it
_ALONE_S = 2.0  # of one client alone, half of whose rate the search begins with
_LATE_MS = 5.0  # a load generator that is so late is told of
COLUMNS = ("load", "answers/s", *(f"p{share} ms" for share in _SHARES), "queue ms", "compute ms", "batch", "failed")


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


@dataclass(frozen=True)
class LoadTestResult:
    """What came of it, by protocol."""

    model: str
    cached: bool  # its answers came from the server's cache
    levels: tuple[LevelResult, ...]  # in the order that they ran, those of the search too
    capacities: Mapping[str, Capacity]
    servers: Mapping[str, ServersNeeded]  # for the demand

    @property
    def gone(self) -> LevelResult | None:
        """The level at which the server was lost, which is the last; None where it answered until the end."""
        return next((found for found in self.levels if found.server is None), None)

    def check_complete(self) -> None:
        """Raise `BadInput` where the server was lost."""
        if gone := self.gone:
            raise BadInput(
                f"the server must answer until the end, found that it was gone at {gone.level} ({gone.protocol}) after "
                f"{len(gone.latencies_s)} answers: {gone.failures[0] if gone.failures else 'no statistics'}"
            )

    @property
    def notes(self) -> list[str]:
        """What makes the figures others than they seem."""
        found = []
        if self.cached:
            found.append("the model has a response cache, so this is how fast the cache is; export it without `cache`")
        if late := [level for level in self.levels if level.late_ms > _LATE_MS]:
            found.append(
                f"the load generator was behind at {late[0].level}: requests left up to {late[0].late_ms:.0f} ms late"
            )
        return found

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return {
            "model": self.model,
            "cached": self.cached,
            "levels": [_level_json(found) for found in self.levels],
            "capacity": {
                protocol: {
                    "percentile": found.limit.percentile,
                    "limit_ms": found.limit.ms,
                    "requests_per_second": found.rate,
                }
                for protocol, found in self.capacities.items()
            },
            "plan": {
                protocol: {"requests_per_second": found.demand, "servers": found.servers, "margin": found.margin}
                for protocol, found in self.servers.items()
            },
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return the rows of a table for people, whose columns are `COLUMNS`."""
        return [_row(found) for found in self.levels]

    def plot(self, path: str | Path, *, force: bool = False) -> None:
        """Draw latency and mean batch against throughput, a line for each protocol and kind of load.

        The suffix says what is written: .png, .svg, or .html, which holds the table too. Raise `BadInput` for another
        suffix or where the file exists and `force` is not given, `NotAvailable` without matplotlib.
        """
        from resnas_deploy.measuring.plots import COLOURS, check_plot, new_figure, plain, write_figure

        check_plot(Path(path))
        figure, (latency, batch) = new_figure(2)
        lines: dict[str, list[LevelResult]] = {}
        for found in self.levels:
            if found.latencies_s:
                kind = "at once" if found.level.concurrency else "at a rate"
                lines.setdefault(f"{found.protocol}, {kind}", []).append(found)
        for number, (name, unordered) in enumerate(lines.items()):
            levels = sorted(unordered, key=lambda level: level.requests_per_second)
            colour, answers = COLOURS[number % len(COLOURS)], [level.requests_per_second for level in levels]
            for share, style in zip(_DRAWN, ("o-", "s--"), strict=True):
                found_ms = [level.percentile_ms(share) for level in levels]
                latency.plot(answers, found_ms, style, color=colour, label=f"{name}, p{share}", markersize=4)
            merged = [level.server.mean_batch if level.server else float("nan") for level in levels]
            batch.plot(answers, merged, "o-", color=colour, label=name, markersize=4)
        latency.set(title="Latency by throughput", ylabel="ms")
        batch.set(title="Batches that the server formed", ylabel="images in an execution, mean")
        for axis in (latency, batch):
            axis.set(xlabel="answers/s", xlim=(0, None), ylim=(0, None))
            axis.grid(alpha=0.3)
            if axis.lines:
                axis.legend(fontsize="small")
        figure.suptitle(plain(self.model), fontsize="small")
        write_figure(figure, Path(path), f"Load test of {self.model}", [COLUMNS, *self.rows()], replace=force)


def run_load_test(wanted: LoadTest, models: Sequence[AskedModel], progress: Progress = silent) -> LoadTestResult:
    """Run every level on every model, then the search; it ends early where the server is lost.

    Raise `BadInput` where the server does not answer a level's first request.
    """
    rng = np.random.default_rng(wanted.seed)
    levels, capacities, servers = list[LevelResult](), dict[str, Capacity](), dict[str, ServersNeeded]()

    def run(model: AskedModel, level: Level, seconds: float) -> LevelResult:
        progress(f"{model.name}, {level}, {model.address.protocol}, {seconds:.0f} s")
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


def _row(found: LevelResult) -> tuple[str, ...]:
    server = found.server
    return (
        f"{found.level}, {found.protocol}",
        f"{found.requests_per_second:.1f}",
        *(f"{found.percentile_ms(share):.1f}" if found.latencies_s else "" for share in _SHARES),
        *((f"{server.queue_us / 1e3:.1f}", f"{server.compute_us / 1e3:.1f}") if server else ("", "")),
        f"{server.mean_batch:.1f}" if server else "",
        str(len(found.failures) or ""),
    )


def _level_json(found: LevelResult) -> dict[str, object]:
    server = found.server
    return {
        "concurrency": found.level.concurrency or None,
        "rate": found.level.rate or None,
        "protocol": found.protocol,
        "images_per_request": found.images,
        "seconds": found.seconds,
        "answers": len(found.latencies_s),
        "failures": len(found.failures),
        "first_failure": found.failures[0] if found.failures else None,
        "requests_per_second": found.requests_per_second,
        "latency_ms": {f"p{share}": found.percentile_ms(share) for share in _SHARES} if found.latencies_s else None,
        "late_ms": found.late_ms,
        "server": server
        and {
            "queue_us": server.queue_us,
            "compute_us": server.compute_us,
            "inferences": server.inferences,
            "executions": server.executions,
            "executions_by_batch": {str(size): count for size, count in server.batches.items()},
        },
    }
