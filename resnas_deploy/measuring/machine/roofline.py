"""A machine's own ceiling, and the least time that a network can take under it.

The roofline model: an operation takes at least as long as its arithmetic at the highest rate of the machine, and at
least as long as its traffic at the memory's bandwidth (Williams, Waterman, Patterson: Roofline, CACM 52(4), 2009).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from resnas_deploy.arch.cost import BYTES, Cost, breakdown
from resnas_deploy.arch.elements import BlockElement, elements
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.errors import BadInput, NotAvailable, StorageError
from resnas_deploy.files import records as record
from resnas_deploy.files.atomic import atomic_file
from resnas_deploy.files.reading import read_json
from resnas_deploy.measuring.machine.conditions import Conditions
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.machine.observation import observe
from resnas_deploy.measuring.machine.peaks import Budget, bandwidth_peak, buffer_bytes, product_peak
from resnas_deploy.processes.resources import free_memory
from resnas_deploy.runners.base import CPU

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

    def to_json(self) -> dict[str, object]:
        """Plain data for JSON; `from_json` is its inverse."""
        return record.to_json(self)

    @staticmethod
    def from_json(data: object) -> Ceiling:
        """Read what `to_json` wrote. Raises `BadInput` that names the field that is wrong."""
        return record.from_json(Ceiling, data, "ceiling")


@dataclass(frozen=True)
class _File:
    """What a cache file holds."""

    schema: int
    ceilings: tuple[Ceiling, ...]


def minimum_seconds(arch: ArchSpec, batch: int, precision: str, ceiling: Ceiling) -> float:
    """The least seconds of one pass over `batch` images under the machine's ceiling, element by element.

    For each element (stem, block, reduction, head) the longer of its arithmetic, two operations for each
    multiply-accumulate of `cost.breakdown`, and its traffic. Traffic is its parameters, read once a pass, and its
    values (`Cost.values`: every result of a linear, a convolution and a product), written once and read once, in
    numbers of `precision`, which is the graph's and may be narrower than what `ceiling` was measured in. Attention's
    scores are left out: fused kernels keep them on the chip.

    Not counted: softmax, norms and other element-wise work, which may go along with the products. What stays in caches
    costs no traffic, so an element that is bound by its traffic can be faster than this; one that is bound by its
    arithmetic cannot.
    """
    return sum(
        max(
            2 * cost.macs * batch / ceiling.flops,
            BYTES[precision] * (cost.parameters + 2 * values * batch) / ceiling.bytes_per_second,
        )
        for cost, values in _costs(arch)
    )


def measure_ceiling(machine: Machine, device: str, precision: str, threads: int) -> Ceiling:
    """Measure it now. Raises `NotAvailable` where nothing here can."""
    cores, gpu = os.sched_getaffinity(0), None if device == CPU else int(device.partition(":")[2] or 0)
    before = observe(cores, gpu)
    size = buffer_bytes()
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


def ceiling(
    machine: Machine,
    device: str,
    precision: str,
    threads: int,
    folder: Path,
    tell: Callable[[str], None],
    measure: Callable[[Machine, str, str, int], Ceiling] = measure_ceiling,
    note: Callable[[str], None] | None = None,
) -> Ceiling:
    """The machine's ceiling: from the cache in `folder`, or measured and put there.

    It takes about five seconds and up to 2 GiB of memory to measure. One that was measured on a busy machine is not
    kept. `tell` hears of all this; `note`, where it is given, of a cache that cannot be used. A damaged one is set
    aside. Raises `NotAvailable` where nothing here can measure it.
    """
    note = note or tell
    path = folder / f"ceilings-{machine.slug}.json"
    known = _load(path, note)
    key = (machine, device, precision, threads, library_versions())
    for found in known:
        if _key(found) == key:
            return found
    tell(f"measuring what this machine can do at most in {precision} on {device} with {threads} threads")
    found = measure(machine, device, precision, threads)
    if found.warnings:
        tell(f"the ceiling may be too low, and is not kept: {'; '.join(found.warnings)}")
    else:
        _save(path, (*(other for other in known if _key(other)[:4] != key[:4]), found), note)
    return found


def library_versions() -> dict[str, str]:
    """The versions of what ceilings are measured with."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _costs(arch: ArchSpec) -> Iterator[tuple[Cost, int]]:
    """Each element's cost, and the values that go through memory for one image."""
    for element, cost in zip(elements(arch), breakdown(arch), strict=True):
        scores = (element.side**2 + 1) ** 2 * element.block.heads if isinstance(element, BlockElement) else 0
        yield cost, cost.values - scores


def _key(found: Ceiling) -> tuple[Machine, str, str, int, Mapping[str, str]]:
    return found.machine, found.device, found.precision, found.threads, found.libraries


def _load(path: Path, tell: Callable[[str], None]) -> tuple[Ceiling, ...]:
    try:
        os.close(os.open(path, os.O_RDONLY))
    except FileNotFoundError:
        return ()
    except OSError as error:
        tell(f"the ceilings that were kept cannot be read: {path}: {error.strerror}")
        return ()
    try:
        content = record.from_json(_File, read_json(path), "the cache")
        if content.schema != SCHEMA:
            raise BadInput(f"the cache must have schema {SCHEMA}, found {content.schema}")
    except BadInput as error:
        aside = path.with_name(f"{path.name}.corrupt")
        with suppress(OSError):  # where it cannot be moved, it cannot be written either, which is told then
            path.replace(aside)
        tell(f"{path} is no cache of ceilings ({str(error)[:200]}); it is now {aside.name}, and they are measured anew")
        return ()
    return content.ceilings


def _save(path: Path, ceilings: tuple[Ceiling, ...], tell: Callable[[str], None]) -> None:
    """A cache that cannot be written costs time at the next run, and must not cost this one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as partial:
            partial.write_text(json.dumps(record.to_json(_File(SCHEMA, ceilings)), indent=1) + "\n")
    except (BadInput, StorageError, OSError) as error:
        tell(f"the ceilings are not kept: {error}")
