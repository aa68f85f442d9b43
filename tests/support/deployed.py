"""Candidates of a deployment with made-up figures."""

from __future__ import annotations

from resnas_deploy.artifact.manifest import Accuracy
from resnas_deploy.deploying.result import Candidate, LoadLevel, LoadTested, ServingSetting


def setting(throughput, p99_ms, *, instances=1, batch=1, searched=True):
    """A setting of as many images a second, whose batches take so long."""
    return ServingSetting(instances, 1, batch, throughput, p99_ms / 2, p99_ms, searched)


def load(kept, of, *, p99_ms=10.0):
    """A load test that found so many requests a second within the level."""
    return LoadTested(of, kept, (LoadLevel(kept or 1.0, kept or 1.0, p99_ms / 2, p99_ms, 0),))


def candidate(name, *settings, loads=(), left_out="", drop=None):
    """A candidate; with `drop` its accuracy is that much below the reference's 80 per cent."""
    accuracy = None if drop is None else Accuracy("demo", 1000, 80.0, 80.0 - drop, 0.5)
    return Candidate(
        name=name,
        precision=name,
        artifact="" if left_out else f"artifacts/{name}",
        digest=name,
        left_out=left_out,
        accuracy=accuracy,
        settings=settings,
        loads=tuple(loads),
    )
