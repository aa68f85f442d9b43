"""What a machine can do at most, measured: operations of matrix products a second, and bytes a second.

Each is the best of several libraries, shapes and runs: a ceiling is a maximum. Matrix products `(m, k) x (k, n)` count
`2 m k n` operations; a copy counts each byte twice, as it is read and written, which is the convention of STREAM
(McCalpin, 1995).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resnas_deploy.errors import NotAvailable, PackageMissing
from resnas_deploy.measuring.machine.products import OnGpu, Product, Products, Shape, installed
from resnas_deploy.runners.devices import CPU, cache_bytes, device_name

# One image's tokens through a block's first linear, and square ones, where libraries do best. The smallest come first.
SHAPES: tuple[Shape, ...] = ((257, 880, 3200), (1024, 1024, 1024), (2048, 2048, 2048))
CUDA_SHAPES: tuple[Shape, ...] = ((64 * 257, 880, 3200), (4096, 4096, 4096), (8192, 8192, 8192))
REST = 0.2  # seconds after a library, in which its waiting threads go to sleep
CACHES, MOST_BYTES = 4, 2**30  # a buffer is as large as this many last-level caches, and at most this large
LEAST_GPU_BYTES = 2**30  # of a buffer on a GPU: a copy of it takes far longer than its launch
CACHE_FOLDER = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class PeakRate:
    """The highest rate that was seen, a second, and what reached it."""

    rate: float
    by: str


@dataclass(frozen=True)
class Budget:
    """How long to look for a peak."""

    seconds: float
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep


def product_peak(
    device: str,
    precision: str,
    threads: int,
    budget: Budget,
    libraries: Mapping[str, Products] | None = None,
    shapes: tuple[Shape, ...] = (),
) -> PeakRate:
    """Return the operations a second of matrix products. Raise `NotAvailable` where no library here can do them.

    `libraries` are those that are installed, and `shapes` the device's usual ones, unless others are given.
    """
    libraries = installed() if libraries is None else libraries
    shapes = shapes or (SHAPES if device == CPU else CUDA_SHAPES)
    peaks = []
    for library, prepare in libraries.items():
        with prepare(shapes, device, precision, threads) as products:
            steps = {
                f"{library}, {m} x {k} x {n}": (product, 2.0 * m * k * n) for (m, k, n), product in products.items()
            }
            peaks += [best(steps, budget, 1 / len(libraries))] if steps else []
        budget.sleep(REST)
    if not peaks:
        raise NotAvailable(
            f"measuring {precision} matrix products on {device} needs a library that has them, "
            f"found {', '.join(libraries) or 'none'}",
            "pip install torch",
        )
    return max(peaks, key=lambda peak: peak.rate)


def bandwidth_peak(device: str, threads: int, budget: Budget, size: int) -> PeakRate:
    """Return the bytes a second between the device and its memory, over buffers of `size` bytes.

    Raise `NotAvailable` for CUDA without a PyTorch that has it.
    """
    if device != CPU:
        return best({"torch, copy": (_cuda_copy(device, size), 2.0 * size)}, budget)
    source, target = np.ones(size // 4, np.float32), np.ones(size // 4, np.float32)
    parts = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:  # NumPy lets other threads run meanwhile
        copy = (lambda: list(pool.map(lambda part: np.copyto(part[1], part[0]), parts)), 2.0 * size)
        read = (lambda: list(pool.map(lambda part: part[0].max(), parts)), 1.0 * size)
        return best({"numpy, copy": copy, "numpy, read": read}, budget)


def buffer_bytes(cache_folder: Path = CACHE_FOLDER) -> int:
    """Return the size of a buffer that does not fit into the last-level cache: four times as large, at most 1 GiB."""
    sizes = [_bytes(path.read_text(encoding="utf-8").strip()) for path in cache_folder.glob("index*/size")]
    return min(MOST_BYTES, CACHES * max(sizes, default=MOST_BYTES))


def gpu_buffer_bytes(device: str) -> int:
    """Return the size of a buffer that does not fit into a GPU's L2: four times as large, at least 1 GiB."""
    return max(LEAST_GPU_BYTES, CACHES * (cache_bytes(device) or 0))


def best(steps: Mapping[str, tuple[Product, float]], budget: Budget, share: float = 1.0) -> PeakRate:
    """Return the highest rate of steps of so much work each, interleaved for that share of the budget, each run once.

    A step of a GPU tells its own seconds, of others they are taken by the budget's clock.
    After a step that takes the whole share by itself none that comes later is begun.
    """
    most, started = share * budget.seconds, budget.clock()
    peaks: list[PeakRate] = []
    while not peaks or budget.clock() - started < most:
        for name, (step, work) in steps.items():
            before = budget.clock()
            told = step()
            waited = budget.clock() - before
            seconds = told if isinstance(step, OnGpu) and isinstance(told, float) else waited
            if seconds > 0:
                peaks.append(PeakRate(work / seconds, name))
            if waited > most:
                break
    return max(peaks, key=lambda peak: peak.rate)


def _cuda_copy(device: str, size: int) -> Product:
    try:
        import torch
    except ImportError:
        raise PackageMissing("measuring a GPU's memory needs PyTorch", "pip install torch") from None
    if not torch.cuda.is_available():
        raise NotAvailable("measuring a GPU's memory needs a PyTorch that has CUDA and a GPU, found none")
    free, _ = torch.cuda.mem_get_info(device)
    if free < 2 * size:
        raise NotAvailable(
            f"measuring a GPU's memory must have {2 * size / 2**30:.1f} GiB of it free, found {free / 2**30:.1f} GiB "
            f"on {device_name(device)}; end what else runs there"
        )
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    return OnGpu(device, lambda: target.copy_(source))


def _bytes(text: str) -> int:
    """Read `2048K`."""
    return int(text.rstrip("KMG")) * _UNITS.get(text[-1], 1)
