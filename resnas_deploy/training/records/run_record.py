"""What a run says of itself for those who look at its folder: `run.json`, written at its start and at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from resnas_deploy.errors import BadInput, ResnasError, first_line
from resnas_deploy.files import records as record
from resnas_deploy.files.atomic import write_json
from resnas_deploy.files.reading import read_json
from resnas_deploy.measuring.machine.description import Machine, this_machine
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.training.distributed import Processes
from resnas_deploy.training.run import TrainingRun
from resnas_deploy.version import __version__

FILE, SCHEMA = "run.json", 1
_PACKAGES = ("torch", "numpy", "pillow", "safetensors")  # whose versions what comes out may depend on


@dataclass(frozen=True)
class RunRecord:
    """A run, as it was started last."""

    schema: int
    what: str
    data: str
    train_images: int
    held_out_images: int  # of the training split, left to the search
    validation_images: int
    classes: int
    seed: int
    steps_per_epoch: int
    first_step: int  # 0, or where it went on
    processes: int
    device: str
    workers: int
    track: tuple[str, ...]
    libraries: Mapping[str, str]  # versions
    machine: Machine  # of the first process
    started: float  # seconds since 1970
    ended: float | None = None  # None while it goes on, and where it was killed
    problem: str = ""  # what ended it before its end

    def to_json(self) -> dict[str, object]:
        """Return plain data for JSON."""
        return record.to_json(self)


@contextmanager
def recorded(
    run: TrainingRun,
    processes: Processes,
    steps_per_epoch: int,
    first_step: int,
    clock: Callable[[], float] = time.time,
) -> Iterator[None]:
    """Keep the record in the run's folder: that the run goes on, and when the block has ended, how."""
    begun = RunRecord(
        schema=SCHEMA,
        what=run.what,
        data=run.data,
        train_images=len(run.train.labels),
        held_out_images=len(run.held_out.labels) if run.held_out else 0,
        validation_images=len(run.val.labels),
        classes=run.arch.classes,
        seed=run.seed,
        steps_per_epoch=steps_per_epoch,
        first_step=first_step,
        processes=processes.share.processes,
        device=str(processes.device),
        workers=run.workers,
        track=run.track,
        libraries=libraries(),
        machine=this_machine(usable_cores()),
        started=clock(),
    )
    _write(run.folder, begun)
    try:
        yield
    except BaseException as error:
        problem = "interrupted" if isinstance(error, KeyboardInterrupt) else first_line(error)
        with suppress(ResnasError):  # a full disk, as may be what ended it
            _write(run.folder, replace(begun, ended=clock(), problem=problem))
        raise
    _write(run.folder, replace(begun, ended=clock()))


def read_record(folder: Path) -> RunRecord | None:
    """Return the record of a run; None where there is none that this version can read."""
    try:
        return record.from_json(RunRecord, read_json(folder / FILE), FILE)
    except BadInput:
        return None


def libraries() -> dict[str, str]:
    """Return the versions of what a run computes with."""
    found = {"resnas": __version__}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    if torch.version.cuda:
        found["cuda"] = torch.version.cuda
    return found


def _write(folder: Path, what: RunRecord) -> None:
    write_json(folder / FILE, what.to_json())
