"""What a search for throughput found: every setting that was timed, and the best."""

from __future__ import annotations

from dataclasses import dataclass, field

from resnas_deploy.files.records import as_json
from resnas_deploy.measuring.plan import ThroughputSetting
from resnas_deploy.measuring.statistics import Interval


@dataclass(frozen=True)
class Tried:
    """A setting that was timed, a few times only, beside the best of those before it."""

    streams: int
    threads: int  # of each stream
    batch: int
    images_per_second: float | None = None  # by the ratios of what was timed together; None where it could not run
    batch_p50_ms: float | None = None  # of one batch, while all streams run
    failure: str | None = None  # why it could not run

    @property
    def setting(self) -> ThroughputSetting:
        """The setting alone."""
        return ThroughputSetting(self.streams, self.threads, self.batch)


@dataclass(frozen=True)
class BestSetting:
    """The setting of most throughput of an artifact on a runner, measured beside what it is compared with."""

    source: str
    label: str
    runner: str
    streams: int
    threads: int  # of each stream
    batch: int
    images_per_second: Interval  # `Measurement.median_throughput`
    batch_p50_ms: float  # of one batch, while all streams run
    batch_p99_ms: float
    # Throughput over that of one stream with every thread, at the smallest batch that was allowed, and at its best one.
    # Documents have the names that these had before.
    smallest_batch: int = field(metadata=as_json("one_batch"))
    over_smallest_batch: Interval = field(metadata=as_json("over_one"))
    one_stream_batch: int = field(metadata=as_json("single_batch"))
    over_one_stream: Interval = field(metadata=as_json("over_single"))

    @property
    def setting(self) -> ThroughputSetting:
        """The setting alone."""
        return ThroughputSetting(self.streams, self.threads, self.batch)


@dataclass(frozen=True)
class ThroughputSearch:
    """The search for the best setting of one artifact on one runner."""

    source: str
    label: str
    digest: str  # sha256 of the graph
    precision: str
    runner: str
    most_settings: int  # that it might time
    seconds: float  # that it took, without measuring the best
    left_out: int  # settings that it came to and did not time, for want of time or by the limit of settings
    tried: tuple[Tried, ...]
    latency_limit_ms: float | None = None  # that 99 of 100 batches of the best had to stay within
    best: BestSetting | None = None  # None where nothing was measured in the end, or nothing kept the limit

    def notes(self) -> list[str]:
        """Say what must be known with it, a line each."""
        what, found = f"{self.label} on {self.runner}", []
        if self.left_out:
            more = f"{self.left_out} settings more were" if self.left_out > 1 else "1 setting more was"
            found.append(f"{what}: {more} not timed: `minutes` or the most settings were up")
        if self.best is None and self.latency_limit_ms is not None and self.tried:
            found.append(f"{what}: no setting that was measured kept the latency limit of {self.latency_limit_ms:g} ms")
        elif self.best is None:
            found.append(f"{what}: interrupted before the best was measured; what was timed until then is kept")
        return found
