"""The document of a deployment: what was asked for, every candidate with what was measured of it, and the choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resnas_deploy.artifact.manifest import Accuracy
from resnas_deploy.errors import BadInput
from resnas_deploy.files import records as record
from resnas_deploy.files.reading import read_json
from resnas_deploy.measuring.machine.description import Machine

SCHEMA = 1
MAX_BYTES = 4_000_000  # of a file


@dataclass(frozen=True)
class ServiceLevel:
    """What the service must keep: answers within a time, and how many of them a second. Raises `BadInput`."""

    p99_ms: float  # that 99 of 100 answers must come within
    demand: float | None = None  # requests a second, of one image each, that machines are counted for

    def __post_init__(self) -> None:
        if not 0 < self.p99_ms < math.inf:
            raise BadInput(f"`p99` must be more than 0 ms, found {self.p99_ms:g}")
        if self.demand is not None and not 0 < self.demand < math.inf:
            raise BadInput(f"`demand` must be more than 0 requests a second, found {self.demand:g}")

    def __str__(self) -> str:
        demand = f", {self.demand:g} requests/s" if self.demand is not None else ""
        return f"p99 within {self.p99_ms:g} ms{demand}"


@dataclass(frozen=True)
class Asked:
    """What is to be deployed, as it was asked for."""

    sources: tuple[str, ...]  # a checkpoint, or artifacts
    digest: str  # of them: other ones are another question
    name: str  # of the model in the repository
    repository: str
    level: ServiceLevel
    precisions: tuple[str, ...]  # to be tried; of artifacts, their own
    runner: str
    threads: int  # of the CPU, that all instances share
    minutes: float  # that measuring and load tests may take, about
    data: str = ""  # labelled images that the accuracy of a quantised graph is held against
    max_drop: float = 0.5


@dataclass(frozen=True)
class ServingSetting:
    """A way to serve a graph, and what was measured of it without a server: its sessions alone, all at work."""

    instances: int
    threads: int  # of each
    batch: int
    images_per_second: float
    batch_p50_ms: float
    batch_p99_ms: float
    searched: bool = False  # the best of the search within its latency limit

    @property
    def described(self) -> str:
        """Say it in words."""
        instances = f"{self.instances} instance{'' if self.instances == 1 else 's'}"
        threads = f"{self.threads} thread{'' if self.threads == 1 else 's'}"
        return f"{instances} of {threads}, batches of up to {self.batch}"


@dataclass(frozen=True)
class LoadLevel:
    """A rate that a server was asked at."""

    requests_per_second: float  # that were answered
    asked: float | None  # the rate; None: one client after its own answers
    p50_ms: float | None  # None: nothing was answered
    p99_ms: float | None
    failures: int


@dataclass(frozen=True)
class LoadTested:
    """What a real server of a candidate took."""

    setting: ServingSetting
    requests_per_second: float  # the most within the level; 0: none that was tried kept it
    levels: tuple[LoadLevel, ...]

    @property
    def nearest_ms(self) -> float | None:
        """The least p99 of any rate; None where nothing was answered."""
        return min((each.p99_ms for each in self.levels if each.p99_ms is not None), default=None)


@dataclass(frozen=True)
class Candidate:
    """A graph that was tried."""

    name: str  # its precision, or of an artifact that was given its folder's name
    precision: str
    artifact: str  # its folder; empty where there is none
    digest: str = ""  # sha256 of the graph
    label: str = ""
    engine: str = ""  # the engine's file, where one is served
    left_out: str = ""  # why there is nothing to measure
    trained: bool = True
    accuracy: Accuracy | None = None  # of a quantised graph and of what it was made of
    settings: tuple[ServingSetting, ...] = ()  # that were measured, the best of the search first
    loads: tuple[LoadTested, ...] = ()  # of settings that a server was tried with

    @property
    def load(self) -> LoadTested | None:
        """The load test of most requests a second."""
        return max(self.loads, key=lambda each: each.requests_per_second, default=None)


@dataclass(frozen=True)
class Chosen:
    """What is served."""

    name: str  # of the candidate
    setting: ServingSetting
    why: str
    model: str  # its folder in the repository
    version: int


@dataclass(frozen=True)
class Deployment:
    """What was chosen for a level on a machine, and what else there would have been."""

    schema: int
    version: str  # of resnas
    machine: Machine
    asked: Asked
    candidates: tuple[Candidate, ...]
    load_tested: bool  # whether a real server was asked
    notes: tuple[str, ...]
    chosen: Chosen | None = None  # None: nothing that was measured keeps the level
    nearest: str = ""  # the nearest to the level that there is, where nothing keeps it
    seconds: Mapping[str, float] | None = None  # that each step took, when it was done
    planned: Mapping[str, float] | None = None  # minutes that each step may take, of a plan of which nothing is done

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return record.to_json(self)

    def candidate(self, name: str) -> Candidate:
        """Return the candidate of that name."""
        return next(each for each in self.candidates if each.name == name)


def read_deployment(path: Path) -> Deployment:
    """Read a report. Raise `BadInput` that says which file, what must hold, and what was found."""
    found = record.from_json(Deployment, read_json(path, MAX_BYTES), str(path))
    if found.schema != SCHEMA:
        raise BadInput(f"{path} must have schema {SCHEMA}, found {found.schema}; deploy again")
    return found
