"""How networks are timed: a runner with its precision, batch size, threads and device, and what that is kept under."""

from __future__ import annotations

from dataclasses import dataclass

from resnas_deploy.batch import MAX_BATCH
from resnas_deploy.errors import BadInput
from resnas_deploy.measuring.machine.description import this_machine
from resnas_deploy.precision import check_precision
from resnas_deploy.runners.base import usable_cores
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import default_runner, runner_kind


@dataclass(frozen=True)
class Setting:
    """All that a latency depends on beside the network. Measurements of different settings are never mixed."""

    machine: str  # `Machine.slug`
    runner: str
    version: str  # of the runtime
    device: str
    precision: str
    batch: int
    threads: int

    def __str__(self) -> str:
        return f"{self.runner} ({self.version}), {self.precision}, batch {self.batch}, {self.threads} threads"


@dataclass(frozen=True)
class Setup:
    """A runner, and how it is to run networks."""

    kind: RunnerKind
    precision: str
    batch: int
    threads: int = 0  # 0: every core
    device: str = ""  # "": the runner's usual one

    @property
    def cores(self) -> int:
        """Return how many threads that is."""
        return self.threads or usable_cores()

    def setting(self, machine: str = "") -> Setting:
        """Return what measurements are kept under, on a machine of that slug, or on this one."""
        return Setting(
            machine=machine or this_machine(usable_cores()).slug,
            runner=self.kind.name,
            version=self.kind.version(),
            device=self.kind.device(self.device),
            precision=self.precision,
            batch=self.batch,
            threads=self.cores,
        )

    def arguments(self) -> dict[str, object]:
        """Return the parameters of the functions of `latency` that choose this setup."""
        named = {"runner": self.kind.name, "precision": self.precision, "batch": self.batch}
        return named | {name: value for name in ("threads", "device") if (value := getattr(self, name))}


def choose_setup(runner: str, precision: str, batch: int, threads: int, device: str) -> Setup:
    """Return the setup of a runner by name, or of the first that can run the precision.

    Raise `BadInput` for what there is not, `NotAvailable` for what is not here.
    """
    if not 1 <= batch <= MAX_BATCH:
        raise BadInput(f"`batch` must be from 1 to {MAX_BATCH}, found {batch}")
    if threads < 0:
        raise BadInput(f"`threads` must be 0 (every core) or more, found {threads}")
    check_precision(precision)
    kind = runner_kind(runner, "`runner`") if runner else default_runner(precision, device=device)
    kind.check(precision, device)
    return Setup(kind, precision, batch, threads, device)
