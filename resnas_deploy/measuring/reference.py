"""The reference workload: a fixed piece of work that tells how fast the machine is at the moment.

It is timed in every round beside what is measured. Its time moves with the machine's and with nothing else: it uses no
runtime that is measured, so that neither a new version of one nor a change of ours moves it.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.runners.devices import CPU

_SEED = 0
# One core's share of a step: small matrix products, most of them with weights that come from memory once, as a network
# reads its own: work that leans less on memory drifts apart from a network's time when other machines use the memory
# too. The products are small because NumPy's own threads, which large ones would wake, go on spinning at the expense of
# what is timed next.
_SIDE, _STREAMED, _AT_ONCE, _PRODUCTS = 56, 5000, 100, 1200
_MOST_CORES = 8  # that work: each needs 100 MB of its own
_GPU_SIDE, _GPU_PRODUCTS = 2048, 8

Array = NDArray[np.float32]


class Workload(Protocol):
    """A context manager. `step` does the work once and waits for it."""

    name: str  # what it does: figures relative to another one's time mean something else

    def step(self) -> None:
        """Do the work once."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def reference_workload(device: str, cores: int) -> Workload:
    """Return the workload for `cpu` or `cuda:N`. Where PyTorch cannot use the GPU it is the CPU's, and named so."""
    return CpuWorkload(cores) if device == CPU or not _torch_has_cuda() else CudaWorkload(device)


def _torch_has_cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


@dataclass(frozen=True)
class _Share:
    """What one thread works on."""

    weights: Array  # (STREAMED, SIDE, SIDE)
    tokens: Array  # (SIDE, SIDE)
    few: Array  # (AT_ONCE, SIDE, SIDE)
    left: Array  # (PRODUCTS, SIDE, SIDE)
    right: Array
    product: Array

    def work(self) -> None:
        for start in range(0, len(self.weights), len(self.few)):
            np.matmul(self.tokens, self.weights[start : start + len(self.few)], out=self.few)
        np.matmul(self.left, self.right, out=self.product)


class CpuWorkload(Workload):
    """Matrix products by NumPy, the same on each core."""

    def __init__(self, cores: int) -> None:
        cores = min(cores, _MOST_CORES)
        self.name = f"NumPy products of {_SIDE} from memory, {cores} cores"
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="reference")
        self._shares = list(self._pool.map(_share, [np.random.default_rng(_SEED) for _ in range(cores)]))

    def step(self) -> None:
        list(self._pool.map(_Share.work, self._shares))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()


class CudaWorkload(Workload):
    """Large matrix products by PyTorch, which must be here with CUDA."""

    def __init__(self, device: str) -> None:
        import torch

        self.name = f"PyTorch products of {_GPU_SIDE} 1, {device.partition(':')[0]}"
        self._torch, self._device = torch, torch.device(device)
        self._matrix = torch.full((_GPU_SIDE, _GPU_SIDE), 1 / _GPU_SIDE, device=device)

    def step(self) -> None:
        from resnas_deploy.runners.torch_settings import exact_on

        product = self._matrix
        with exact_on(self._device):  # the same work whatever is measured beside it
            for _ in range(_GPU_PRODUCTS):
                product = product @ self._matrix
            self._torch.cuda.synchronize(product.device)


def _share(rng: np.random.Generator) -> _Share:
    def filled(*shape: int) -> Array:
        return rng.random(shape, dtype=np.float32)

    cube = (_PRODUCTS, _SIDE, _SIDE)
    return _Share(
        weights=filled(_STREAMED, _SIDE, _SIDE),
        tokens=filled(_SIDE, _SIDE),
        few=filled(_AT_ONCE, _SIDE, _SIDE),
        left=filled(*cube),
        right=filled(*cube),
        product=filled(*cube),
    )
