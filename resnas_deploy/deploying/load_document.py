"""Reads what `triton.load()` gives as JSON, of this process or of another environment's command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resnas_deploy.deploying.result import LoadLevel
from resnas_deploy.errors import BadInput
from resnas_deploy.files import records as record


@dataclass(frozen=True)
class _Level:
    protocol: str
    images_per_request: int
    image_bytes: int
    seconds: float
    answers: int
    failures: int
    requests_per_second: float
    late_ms: float
    concurrency: int | None = None
    rate: float | None = None
    first_failure: str | None = None
    latency_ms: Mapping[str, float] | None = None
    server: object = None


@dataclass(frozen=True)
class _Capacity:
    percentile: float
    limit_ms: float
    requests_per_second: float


@dataclass(frozen=True)
class _Document:
    model: str
    cached: bool
    levels: tuple[_Level, ...]
    capacity: Mapping[str, _Capacity]
    plan: Mapping[str, object]


def read_load(data: object, what: str) -> tuple[float, tuple[LoadLevel, ...]]:
    """Return the most requests a second within the limit, and the levels that were tried. Raise `BadInput`."""
    found = record.from_json(_Document, data, what)
    if not found.capacity:
        raise BadInput(f"{what} must have found a rate, found none: the server was lost")
    levels = tuple(
        LoadLevel(
            requests_per_second=each.requests_per_second,
            asked=each.rate,
            p50_ms=(each.latency_ms or {}).get("p50"),
            p99_ms=(each.latency_ms or {}).get("p99"),
            failures=each.failures,
        )
        for each in found.levels
    )
    return next(iter(found.capacity.values())).requests_per_second, levels
