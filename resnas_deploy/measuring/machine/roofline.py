"""A machine's own ceilings, kept once measured, and the least time that a network can take under one.

The roofline model: an operation takes at least as long as its arithmetic at the highest rate of the machine, and at
least as long as its traffic at the memory's bandwidth (Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from resnas_deploy.arch.cost import Cost, breakdown
from resnas_deploy.arch.elements import BlockElement, elements
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, NotAvailable, ResnasError
from resnas_deploy.files import records as record
from resnas_deploy.files.atomic import write_json
from resnas_deploy.files.reading import read_json
from resnas_deploy.measuring.machine.conditions import Conditions
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.machine.observation import observe
from resnas_deploy.measuring.machine.peaks import (
    Budget,
    bandwidth_peak,
    buffer_bytes,
    gpu_buffer_bytes,
    product_peak,
)
from resnas_deploy.precision import PRECISIONS
from resnas_deploy.processes.resources import free_memory
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.devices import CPU, index, is_gpu
from resnas_deploy.system import here

_log = logging.getLogger(__name__)
SCHEMA = 1
PRODUCT_SECONDS, MEMORY_SECONDS = 4.0, 1.0
_BUFFERS = 3  # of what must be free: two that are copied between, and what else is needed
_PACKAGES = ("numpy", "torch", "onnxruntime", "openvino")  # whose versions decide whether a cached ceiling still holds


@dataclass(frozen=True)
class Ceiling:
    """The most that a machine did in one precision, on one device, with so many threads."""

    machine: Machine
    device: str  # cpu or cuda:N
    precision: str
    threads: int
    flops: float  # operations a second of matrix products: two for each multiply-accumulate
    flops_by: str  # the library and the shape that reached it
    bytes_per_second: float  # between the device and its memory
    bytes_by: str
    libraries: Mapping[str, str]  # package: version
    warnings: tuple[str, ...]  # what may have kept the machine from doing its most (`Conditions.disturbed`)


@dataclass(frozen=True)
class CeilingsFile:
    """What a cache file holds."""

    schema: int
    ceilings: tuple[Ceiling, ...]


def minimum_seconds(arch: ArchSpec, batch: int, precision: str, ceiling: Ceiling) -> float:
    """Return the least seconds of one pass over `batch` images under the machine's ceiling, element by element.

    For each element (stem, block, reduction, head) the longer of its arithmetic, two operations for each
    multiply-accumulate of `cost.breakdown`, and its traffic. Traffic is its parameters, read once a pass, and its
    values (`Cost.values`: every result of a linear, a convolution and a product), written once and read once, in
    numbers of `precision`, which is the graph's and may be narrower than what `ceiling` was measured in; of a quantised
    graph as if all were. Attention's scores are left out: fused kernels keep them on the chip.

    Not counted: softmax, norms and other element-wise work, which may go along with the products. What stays in caches
    costs no traffic, so an element that is bound by its traffic can be faster than this; one that is bound by its
    arithmetic cannot.
    """
    return sum(
        max(
            2 * cost.macs * batch / ceiling.flops,
            PRECISIONS[precision].bytes * (cost.parameters + 2 * values * batch) / ceiling.bytes_per_second,
        )
        for cost, values in _costs(arch)
    )


def measure_ceiling(machine: Machine, device: str, precision: str, threads: int) -> Ceiling:
    """Measure it now. Raise `NotAvailable` where nothing here can."""
    cores, gpu = here.cores(), index(device) if is_gpu(device) else None
    before = observe(cores, gpu)
    size = buffer_bytes() if device == CPU else gpu_buffer_bytes(device)
    if device == CPU and (free := free_memory()) is not None and free < _BUFFERS * size:
        raise NotAvailable(
            f"measuring this machine's memory must have {_BUFFERS * size / 2**30:.1f} GiB of it free, found "
            f"{free / 2**30:.1f} GiB; give it more"
        )
    products = product_peak(device, precision, threads, Budget(PRODUCT_SECONDS))
    memory = bandwidth_peak(device, threads, Budget(MEMORY_SECONDS), size)
    return Ceiling(
        machine=machine,
        device=device,
        precision=precision,
        threads=threads,
        flops=products.rate,
        flops_by=products.by,
        bytes_per_second=memory.rate,
        bytes_by=memory.by,
        libraries=library_versions(),
        warnings=tuple(Conditions.between(before, observe(cores, gpu)).disturbed()),
    )


class Ceilings:
    """A machine's ceilings: each is measured once, and kept in a file of `folder`, where there is a folder.

    A damaged file is set aside. What is wrong with it, or keeps it from being written, is logged: it only costs time.
    """

    def __init__(
        self,
        machine: Machine,
        folder: Path | None,
        measure: Callable[[Machine, str, str, int], Ceiling] = measure_ceiling,
    ) -> None:
        self._machine, self._measure = machine, measure
        self._path = folder / f"ceilings-{machine.slug}.json" if folder else None
        self._known: dict[tuple[str, str, int], Ceiling] = {}

    def of(self, device: str, precision: str, threads: int, progress: Progress = silent) -> Ceiling:
        """Return the ceiling of a device, in that precision, with so many threads.

        It takes about five seconds and up to 2 GiB of memory to measure. One that was measured on a busy machine is not
        kept in the file. Raise `NotAvailable` where nothing here can measure it.
        """
        key = device, precision, threads
        if key not in self._known:
            self._known[key] = self._kept(key) or self._measured(key, progress)
        return self._known[key]

    def _kept(self, key: tuple[str, str, int]) -> Ceiling | None:
        wanted = (self._machine, *key, library_versions())
        return next((found for found in self._read() if (*_key(found), found.libraries) == wanted), None)

    def _measured(self, key: tuple[str, str, int], progress: Progress) -> Ceiling:
        device, precision, threads = key
        progress(f"measuring what this machine can do at most in {precision} on {device} with {threads} threads")
        found = self._measure(self._machine, *key)
        if found.warnings:
            progress(f"the ceiling may be too low, and is not kept: {'; '.join(found.warnings)}")
        elif self._path:
            others = tuple(other for other in self._read() if _key(other) != _key(found))
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_ceilings(self._path, (*others, found))
            except (ResnasError, OSError) as error:
                _log.warning("the ceilings are not kept: %s", error)
        return found

    def _read(self) -> tuple[Ceiling, ...]:
        path = self._path
        if path is None:
            return ()
        try:
            os.close(here.open_to_read(path))
        except FileNotFoundError:
            return ()
        except OSError as error:
            _log.warning("the ceilings that were kept cannot be read: %s: %s", path, error.strerror)
            return ()
        try:
            return read_ceilings(path)
        except BadInput as error:
            aside = path.with_name(f"{path.name}.corrupt")
            with suppress(OSError):  # where it cannot be moved, it cannot be written either, which is told then
                path.replace(aside)
            reason = str(error)[:200]
            _log.warning(
                "%s is no cache of ceilings (%s); it is now %s, and they are measured anew", path, reason, aside.name
            )
            return ()


def read_ceilings(path: Path) -> tuple[Ceiling, ...]:
    """Read what `write_ceilings` wrote. Raise `BadInput` for anything else."""
    content = record.from_json(CeilingsFile, read_json(path), "the cache")
    if content.schema != SCHEMA:
        raise BadInput(f"the cache must have schema {SCHEMA}, found {content.schema}")
    return content.ceilings


def write_ceilings(path: Path, ceilings: tuple[Ceiling, ...]) -> None:
    """Write a cache file. Raise `BadInput` or `StorageError` where it cannot be written."""
    write_json(path, record.to_json(CeilingsFile(SCHEMA, ceilings)))


def _key(found: Ceiling) -> tuple[Machine, str, str, int]:
    return found.machine, found.device, found.precision, found.threads


def library_versions() -> dict[str, str]:
    """Return the versions of what ceilings are measured with."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _costs(arch: ArchSpec) -> Iterator[tuple[Cost, int]]:
    """Yield each element's cost, and the values that go through memory for one image."""
    for element, cost in zip(elements(arch), breakdown(arch), strict=True):
        scores = element.mixer.pairs(element.side) * element.block.heads if isinstance(element, BlockElement) else 0
        yield cost, cost.values - scores
