"""What came of a load test: as a document, as rows of a table, and as a plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from resnas_deploy.errors import BadInput
from resnas_deploy.serving.load.capacity import Capacity, ServersNeeded
from resnas_deploy.serving.load.level import LevelResult, ServerStatistics

_SHARES = (50, 90, 95, 99)  # percentiles in tables and the document
_DRAWN = (50, 99)  # those in plots
_LATE_MS = 5.0  # a load generator that is so late is told of
COLUMNS = ("load", "answers/s", *(f"p{share} ms" for share in _SHARES), "queue ms", "compute ms", "batch", "failed")


class StatisticsDocument(TypedDict):
    """The server's own statistics of a level."""

    queue_us: float  # mean of a request
    compute_us: float
    inferences: int
    executions: int
    executions_by_batch: dict[str, int]


class LevelDocument(TypedDict):
    """A level of a load test: requests at once, or requests a second."""

    concurrency: int | None
    rate: float | None
    protocol: str
    images_per_request: int
    image_bytes: int  # of a request's images: 4 bytes a value of float32 images, 1 of uint8
    seconds: float
    answers: int
    failures: int
    first_failure: str | None
    requests_per_second: float
    latency_ms: dict[str, float] | None  # by percentile, such as p99
    late_ms: float  # of the load generator
    server: StatisticsDocument | None  # None: it was lost


class CapacityDocument(TypedDict):
    """The highest rate that kept a limit; 0: none did."""

    percentile: float
    limit_ms: float
    requests_per_second: float


class PlanDocument(TypedDict):
    """How many servers a demand needs."""

    requests_per_second: float
    servers: int
    margin: float


class LoadTestDocument(TypedDict):
    """What `triton.load()` returns as JSON; capacities and plans by protocol."""

    model: str
    cached: bool
    levels: list[LevelDocument]
    capacity: dict[str, CapacityDocument]
    plan: dict[str, PlanDocument]


@dataclass(frozen=True)
class LoadTestResult:
    """What came of a load test, by protocol."""

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

    def to_json(self) -> LoadTestDocument:
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


def _level_json(found: LevelResult) -> LevelDocument:
    return {
        "concurrency": found.level.concurrency or None,
        "rate": found.level.rate or None,
        "protocol": found.protocol,
        "images_per_request": found.images,
        "image_bytes": found.image_bytes,
        "seconds": found.seconds,
        "answers": len(found.latencies_s),
        "failures": len(found.failures),
        "first_failure": found.failures[0] if found.failures else None,
        "requests_per_second": found.requests_per_second,
        "latency_ms": {f"p{share}": found.percentile_ms(share) for share in _SHARES} if found.latencies_s else None,
        "late_ms": found.late_ms,
        "server": _statistics_json(found.server) if found.server else None,
    }


def _statistics_json(server: ServerStatistics) -> StatisticsDocument:
    return {
        "queue_us": server.queue_us,
        "compute_us": server.compute_us,
        "inferences": server.inferences,
        "executions": server.executions,
        "executions_by_batch": {str(size): count for size, count in server.batches.items()},
    }
