"""The document of a comparison: who took part, the raw samples by what was open together, and the figures of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from resnas_deploy.errors import BadInput, shown
from resnas_deploy.files import records as record
from resnas_deploy.files.outputs import write_text
from resnas_deploy.files.reading import parse_json, read_bytes
from resnas_deploy.measuring.machine.conditions import Conditions
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.measurement import HOST, Measurement
from resnas_deploy.measuring.report import Reference, check_samples
from resnas_deploy.measuring.tradeoff.contenders import Contender

SCHEMA = 1
MAX_BYTES = 64_000_000


@dataclass(frozen=True)
class Asked:
    """What was to be measured."""

    contenders: tuple[Contender, ...]
    runners: tuple[str, ...]
    precisions: tuple[str, ...]  # of the published networks; an artifact has its own
    batches: tuple[int, ...]
    runs: int  # of each configuration, over all openings
    openings: int
    threads: int
    device: str

    def differences(self, other: Asked) -> list[str]:
        """Return what was to be measured otherwise there, by the other one, than here, by the names of parameters."""
        there, here = ({each.name: each for each in asked.contenders} for asked in (other, self))
        found = []
        if there.keys() != here.keys():
            found.append(f"networks: {', '.join(there)} there, {', '.join(here)} here")
        elif there != here:
            found.append(f"what is said of {', '.join(name for name in here if here[name] != there[name])}")
        for name in ("runners", "precisions", "batches", "runs", "openings", "threads", "device"):
            values = getattr(other, name), getattr(self, name)
            if values[0] != values[1]:
                found.append(f"`{name}` {_text(values[0])} there, {_text(values[1])} here")
        return found or ["the order of the networks"]


@dataclass(frozen=True)
class TradeoffSetting:
    """One way to run a network, of which a comparison has several."""

    runner: str
    precision: str
    batch: int

    def __str__(self) -> str:
        return f"{self.runner} {self.precision}, batch {self.batch}"


@dataclass(frozen=True)
class Point:
    """What one network does in one setting, at the median speed of the machine over the whole run."""

    network: str
    runner: str
    precision: str
    batch: int
    ms: float  # of a batch
    images_per_second: float
    low: float  # the interval of 95 per cent of images a second
    high: float

    @property
    def setting(self) -> TradeoffSetting:
        """How it was run."""
        return TradeoffSetting(self.runner, self.precision, self.batch)


@dataclass(frozen=True)
class Group:
    """Networks that were open together, interleaved with the reference workload: an entry of each list an opening."""

    runner: str
    precision: str
    networks: tuple[str, ...]  # names of the contenders
    conditions: tuple[Conditions, ...]
    reference: Reference
    measurements: tuple[Measurement, ...]

    @property
    def openings(self) -> int:
        """How many are done."""
        return len(self.reference.samples_s)


@dataclass(frozen=True)
class Tradeoff:
    """Accuracy as published, and what each network costs on one machine. Top-1 was not measured here."""

    machine: Machine
    asked: Asked
    groups: tuple[Group, ...]
    interrupted: bool  # there is less than was asked for
    DERIVED: ClassVar = {"schema": int, "points": tuple[Point, ...], "notes": tuple[str, ...]}

    @cached_property
    def pace_s(self) -> float:
        """The reference workload's median time over the whole run, in seconds: what all figures are brought to."""
        return float(
            np.median([sample for group in self.groups for one in group.reference.samples_s for sample in one])
        )

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """The figures, in the order of what was asked for."""
        return tuple(self._points())

    @property
    def settings(self) -> tuple[TradeoffSetting, ...]:
        """The ways that anything was run in, in the order of what was asked for."""
        return tuple(dict.fromkeys(point.setting for point in self.points))

    @property
    def is_complete(self) -> bool:
        """Whether all openings of all groups are done."""
        return all(group.openings == self.asked.openings for group in self.groups)

    def contender(self, name: str) -> Contender:
        """Return the network of that name."""
        return next(each for each in self.asked.contenders if each.name == name)

    def notes(self) -> list[str]:
        """Say what must be known with the figures, a line each."""
        found = [
            "top-1 of published networks is what each paper says, at 224 pixels: it was not measured here, and they "
            "were timed with untrained weights, on which no time hangs"
        ]
        conditions = [each for group in self.groups for each in group.conditions]
        if disturbed := [each.warnings() for each in conditions if each.warnings()]:
            found.append(f"in {len(disturbed)} of {len(conditions)} parts of the run: {disturbed[0][0]}")
        found += [
            f"{item.configuration}: {item.failure}"
            for group in self.groups
            for item in group.measurements
            if item.failure
        ]
        found += [
            f"{each.name} is in no chart, for no top-1 of it is known; give `top1`"
            for each in self.asked.contenders
            if each.top1 is None
        ]
        if self.interrupted or not self.is_complete:
            found.append("interrupted: there is less than was asked for; the same call goes on")
        return found

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        points = [record.to_json(point) for point in self.points]
        return {"schema": SCHEMA, "notes": self.notes(), **record.to_json(self), "points": points}

    def write(self, path: Path) -> None:
        """Write the document, at once and whole."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n", replace=True)

    def _points(self) -> Iterator[Point]:
        names = {each.source: each.name for each in self.asked.contenders}
        for group in self.groups:
            for item in group.measurements:
                c = item.configuration
                if not item.samples_s or c.latency != HOST:
                    continue
                over = item.over(group.reference.samples_s)
                yield Point(
                    names[c.source],
                    c.runner,
                    c.precision,
                    c.batch,
                    over.value * self.pace_s * 1e3,
                    *(c.images / (seconds * self.pace_s) for seconds in (over.value, over.high, over.low)),
                )


def _text(value: object) -> str:
    return (", ".join(map(str, value)) if isinstance(value, tuple) else str(value)) or "none"


def read_tradeoff(path: Path) -> Tradeoff:
    """Read what `Tradeoff.write` wrote. Raise `BadInput` that says which file, what must hold, and what was found."""
    data = parse_json(read_bytes(path, MAX_BYTES), str(path))
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else data
        raise BadInput(f"{path} must be a document of `tradeoff()` with schema {SCHEMA}, found {shown(found, 20)}")
    tradeoff = record.from_json(Tradeoff, data, str(path))
    for group in tradeoff.groups:
        if group.openings:
            check_samples(group.reference, group.measurements, path)
    return tradeoff
