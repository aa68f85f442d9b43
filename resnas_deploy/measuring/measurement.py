"""What one configuration took: raw samples, and the figures that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from resnas_deploy.engines.finding import SHORT
from resnas_deploy.engines.options import BatchProfile
from resnas_deploy.files.records import text_or_nothing
from resnas_deploy.measuring.machine.energy import Energy
from resnas_deploy.measuring.plan import ThroughputSetting
from resnas_deploy.measuring.statistics import CONFIDENCE, Groups, Interval, ratio_interval

HOST, DEVICE = "host to host", "device only"  # what a latency holds
# What reports of an unchanged network differ by beside what their openings tell: the standard deviation of the
# logarithm, at which recorded reports agree in 19 of 20 cases (tests/measuring/test_gate_evidence.py).
REPORTS_APART = 0.005
_SEED = 0  # of the bootstrap: the same samples give the same interval


@dataclass(frozen=True)
class Configuration:
    """What was timed."""

    source: str  # the artifact's folder, as it was given, or a peer's name
    label: str  # what it is
    digest: str  # sha256 of the graph
    precision: str  # of the graph
    runner: str
    version: str  # of the runtime
    device: str
    computes: str  # `Runner.computes`
    boundary: str  # what lies inside the time, and how the runtime was set up
    latency: str  # `HOST` or `DEVICE`
    threads: int  # of each stream
    batch: int
    streams: int  # sessions of the runtime that run at once
    images: int  # in one sample, of all streams
    engine: str = text_or_nothing()  # the ID of the engine that ran, where the runner loads one
    profile: str = text_or_nothing()  # of the engine, that the batch ran in: LEAST:USUAL:MOST, tuned for USUAL
    built_with: str = text_or_nothing()  # what the engine was built with beside the usual

    @property
    def tuned_for(self) -> int | None:
        """The batch that the engine's profile was tuned for, where it was for one."""
        return BatchProfile.parse(self.profile).usual if self.profile else None

    @property
    def with_engine(self) -> str:
        """The runner, and the beginning of the ID of the engine that it ran."""
        return f"{self.runner} {self.engine[:SHORT]}".rstrip()

    @property
    def runs_on(self) -> str:
        """The same with what the engine was tuned for, for tables."""
        return f"{self.with_engine}, tuned for {self.tuned_for}" if self.profile else self.with_engine

    @property
    def place(self) -> str:
        """`cpu` or `cuda:N`, without the GPU's name; empty where the runner could not be opened."""
        return self.device.partition(" ")[0]

    @property
    def setting(self) -> ThroughputSetting:
        """How the runtime was run."""
        return ThroughputSetting(self.streams, self.threads, self.batch)

    def __str__(self) -> str:
        streams = f"{self.streams} streams of " if self.streams > 1 else ""
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{self.label}, {self.runs_on}, batch {self.batch}, {self.latency}, {streams}{threads}"


@dataclass(frozen=True)
class Figures:
    """What samples come to. Milliseconds are of a whole sample: of one batch, unless there are several streams."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    images_per_second: float  # over all samples: `Measurement.throughput`
    over_reference: float  # median time over that of the reference workload in the same rounds
    over_reference_low: float
    over_reference_high: float
    repeats_within: float  # of `over_reference`: where another report's lies with the same probability, relative


@dataclass(frozen=True)
class Measurement:
    """The samples of one configuration, or why there are none."""

    configuration: Configuration
    samples_s: tuple[tuple[float, ...], ...]  # seconds, in the order taken, by opening of the runtime
    warm_up: int  # rounds before the samples, of all openings
    settled: bool  # whether the time had settled by then
    failure: str | None = None  # why it could not run, for example for want of memory
    figures: Figures | None = None
    ceiling_ms: float | None = None  # the least that the machine could take (roofline)
    ceiling_from: str | None = None
    shares: Mapping[str, float] | None = None  # of the time, by kind of block
    energy: tuple[Energy, ...] = ()
    batches_s: tuple[tuple[float, ...], ...] | None = None  # of chosen settings with several streams: of every batch

    def percentile(self, percent: float) -> float:
        """Return the milliseconds that `percent` per cent of the samples stayed below (linear between samples)."""
        return float(np.percentile(np.concatenate(self.samples_s), percent)) * 1e3

    def batch_percentile(self, percent: float) -> float:
        """Return the milliseconds that so many per cent of the batches stayed below, while all streams ran."""
        batches = self.samples_s if self.batches_s is None else self.batches_s
        return float(np.percentile(np.concatenate(batches), percent)) * 1e3

    @property
    def median_throughput(self) -> Interval:
        """Images a second, the median over openings of the median over rounds, and its interval."""
        took = self.samples_s
        whole = [[float(self.configuration.images)] * len(opening) for opening in took]
        return ratio_interval(whole, took, np.random.default_rng(_SEED))

    @property
    def throughput(self) -> float:
        """Images a second over all samples."""
        times = np.concatenate(self.samples_s)
        return self.configuration.images * len(times) / float(times.sum())

    @property
    def of_ceiling(self) -> float | None:
        """The least time that the machine could take, over the median time: 1 is the machine's own limit."""
        return self.ceiling_ms / self.percentile(50) if self.ceiling_ms and self.samples_s else None

    def over(self, reference: Groups) -> Interval:
        """Return the median time over that of the reference workload, timed in the same rounds."""
        return ratio_interval(self.samples_s, reference, np.random.default_rng(_SEED))

    def figured(self, reference: Groups) -> Figures:
        """Return all figures. Needs samples."""
        relative = self.over(reference)
        return Figures(
            p50_ms=self.percentile(50),
            p90_ms=self.percentile(90),
            p99_ms=self.percentile(99),
            images_per_second=self.throughput,
            over_reference=relative.value,
            over_reference_low=relative.low,
            over_reference_high=relative.high,
            repeats_within=_repeats_within(relative),
        )


def _repeats_within(relative: Interval) -> float:
    """Return how far another report's figure may be from this one's, relative: each has an error of its own."""
    from scipy.special import ndtri  # of `scipy.stats`, without the half a second that its import takes

    apart = float(ndtri((1 + CONFIDENCE) / 2)) * REPORTS_APART
    return math.expm1(math.sqrt(2) * math.hypot(relative.half_width, apart))
