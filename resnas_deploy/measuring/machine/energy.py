"""Energy and power while a network runs: by RAPL for processors, by NVML for GPUs.

RAPL's counters are those of Linux's powercap interface (Documentation/power/powercap), one a package, and one for each
part of it, which the package's includes. They are the whole package's or GPU's: what else runs there counts too.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from resnas_deploy.errors import BadInput, NotAvailable
from resnas_deploy.measuring.machine.nvml import Gpu, open_gpu

POWERCAP = Path("/sys/class/powercap")
_log = logging.getLogger(__name__)
LEAST_SECONDS = 2.0  # NVML's counter moves about ten times a second: 5 per cent of this at most is its rounding
_PACKAGE = re.compile(r"intel-rapl:\d+")  # AMD's are named so too; intel-rapl:0:0 is a part of intel-rapl:0


class EnergyMeter(Protocol):
    """A counter of energy."""

    @property
    def name(self) -> str:
        """What it measures, and by what."""
        ...

    def joules(self) -> float:
        """Return the energy since some moment in the past. It never falls."""
        ...


@dataclass(frozen=True)
class Energy:
    """What one meter counted over `images` images."""

    meter: str
    joules_per_image: float
    watts: float  # on average
    seconds: float
    images: int


@dataclass(frozen=True)
class Meters:
    """The meters that are here, and how long something must run to be measured by them."""

    found: tuple[EnergyMeter, ...] = ()
    least_seconds: float = LEAST_SECONDS
    clock: Callable[[], float] = time.perf_counter

    def measure(self, step: Callable[[], object], images_per_step: int) -> list[Energy]:
        """Run `step` back to back for long enough, and at least once. Return what each meter counted meanwhile.

        Without meters nothing is run. One that stopped counting meanwhile (a GPU that was lost) is left out, which is
        logged.
        """
        if images_per_step < 1:
            raise BadInput(f"a step must have at least one image, found {images_per_step}")
        if not self.found:
            return []
        steps, started = 0, self.clock()
        before = [meter.joules() for meter in self.found]
        while not steps or self.clock() - started < self.least_seconds:
            step()
            steps += 1
        after = [_read(meter) for meter in self.found]
        seconds, images = self.clock() - started, steps * images_per_step
        spent = [None if last is None else last - first for first, last in zip(before, after, strict=True)]
        return [
            Energy(meter.name, joules / images, joules / seconds, seconds, images)
            for meter, joules in zip(self.found, spent, strict=True)
            if joules is not None
        ]


def _read(meter: EnergyMeter) -> float | None:
    try:
        return meter.joules()
    except NotAvailable as error:
        _log.warning("no energy is told of %s: %s", meter.name, error)
        return None


class RaplMeter:
    """All processor packages together, memory not included.

    The kernel's counters begin again after minutes at full power: read it at least once in that time.
    """

    def __init__(self, packages: Sequence[Path]) -> None:
        self.name = f"RAPL, {len(packages)} package{'s' if len(packages) > 1 else ''}"
        self._packages = tuple(packages)
        self._ranges = [_microjoules(package / "max_energy_range_uj") for package in packages]
        self._last = self._read()
        self._total = 0

    def joules(self) -> float:
        now = self._read()
        for last, value, most in zip(self._last, now, self._ranges, strict=True):
            self._total += value - last if value >= last else value - last + most
        self._last = now
        return self._total / 1e6

    def _read(self) -> list[int]:
        return [_microjoules(package / "energy_uj") for package in self._packages]


class NvmlMeter:
    """One GPU, its memory included (Volta and later)."""

    def __init__(self, gpu: Gpu, index: int) -> None:
        self.name = f"NVML, cuda:{index}"
        self._gpu = gpu
        self._last = 0.0
        self.joules()

    def joules(self) -> float:
        if (value := self._gpu.joules()) is None:
            raise NotAvailable(
                f"{self.name} must count energy, found that it does not (GPUs before Volta and instances of MIG cannot)"
            )
        self._last = max(self._last, value)
        return self._last


def find_meters(
    gpu: int | None = None, powercap: Path = POWERCAP, environment: Mapping[str, str] = os.environ
) -> Meters:
    """Return the meters of this machine: its processors', and the GPU's where `gpu` is N of `cuda:N`.

    Why one is not here is logged, for whoever debugs it.
    """
    wanted: list[Callable[[], EnergyMeter]] = [lambda: RaplMeter(_packages(powercap))]
    if gpu is not None:
        wanted.append(lambda: NvmlMeter(open_gpu(gpu, environment), gpu))
    found: list[EnergyMeter] = []
    for opened in wanted:
        try:
            found.append(opened())
        except NotAvailable as error:
            _log.debug("no energy is measured: %s", error)
    return Meters(tuple(found))


def _packages(powercap: Path) -> list[Path]:
    """Return the folders of the packages; a platform's own counter (`psys`), which includes them, is left out."""
    domains = sorted(powercap.glob("intel-rapl:*")) if powercap.is_dir() else []
    domains = [domain for domain in domains if _PACKAGE.fullmatch(domain.name) and _is_package(domain)]
    if not domains:
        raise NotAvailable(f"RAPL needs the kernel's powercap interface, found no package in {powercap}")
    return domains


def _is_package(domain: Path) -> bool:
    try:
        return (domain / "name").read_text(encoding="utf-8").startswith("package")
    except OSError:
        return False


def _microjoules(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no number in it"
        raise NotAvailable(
            f"RAPL needs to read {path}, found: {reason}; only root may, unless: sudo chmod -R a+r {path.parent}"
        ) from None
