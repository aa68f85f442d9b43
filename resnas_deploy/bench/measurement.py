"""What one configuration took: raw samples, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from resnas_deploy.bench.machine import Machine

SCHEMA = 1


@dataclass(frozen=True)
class Measurement:
    """One artifact on one runner at one batch size. `samples` are seconds a step, in the order taken."""

    artifact: str  # its folder, as it was given
    label: str  # `Manifest.label`: what it is
    model_sha256: str  # of the graph that ran
    runner: str
    version: str
    computes: str  # `Runner.computes`
    boundary: str
    batch: int
    warm_up: int  # steps before the first sample
    samples: tuple[float, ...]

    def percentile(self, percent: float) -> float:
        """Milliseconds that `percent` per cent of the steps stayed below (linear between samples)."""
        return float(np.percentile(self.samples, percent)) * 1e3

    @property
    def throughput(self) -> float:
        """Images a second over all samples."""
        return self.batch * len(self.samples) / sum(self.samples)

    def to_json(self) -> dict[str, object]:
        """Plain data for JSON: figures in milliseconds and images a second, samples in seconds."""
        return {
            "artifact": self.artifact,
            "label": self.label,
            "model_sha256": self.model_sha256,
            "runner": self.runner,
            "version": self.version,
            "computes": self.computes,
            "boundary": self.boundary,
            "batch": self.batch,
            "p50_ms": self.percentile(50),
            "p90_ms": self.percentile(90),
            "p99_ms": self.percentile(99),
            "images_per_second": self.throughput,
            "warm_up": self.warm_up,
            "samples_s": list(self.samples),
        }


def report(machine: Machine, measurements: Sequence[Measurement]) -> dict[str, object]:
    """The document that `--json` prints and `--out` writes."""
    return {
        "schema": SCHEMA,
        "machine": machine.to_json(),
        "measurements": [measurement.to_json() for measurement in measurements],
    }
