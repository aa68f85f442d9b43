"""A stream of a GPU, and the memory, events and captured graphs of what runs on it: one protocol, two packages.

PyTorch's streams and memory where PyTorch is here with CUDA, else those of `cuda-python`: a machine that runs engines
alone needs no PyTorch. Whatever a stream is asked to do, it does in that order, after the call has returned.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from resnas_deploy.errors import NotAvailable
from resnas_deploy.runners import devices

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

T = TypeVar("T")


class Memory(Protocol):
    """Memory of a GPU, contiguous, which holds an array."""

    @property
    def address(self) -> int:
        """Where it begins, aligned to 256 bytes."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        ...

    @property
    def dtype(self) -> Any:
        """The array's type, NumPy's."""
        ...


class HostMemory(Protocol):
    """Pinned memory of the host, which a GPU copies from and to by itself."""

    @property
    def array(self) -> NDArray[Any]:
        """What it holds. It may be looked at after the stream was closed."""
        ...


class Event(Protocol):
    """A moment of a stream."""

    def record(self) -> None:
        """Be the moment when the stream has done all that it was asked to so far."""
        ...

    def seconds_since(self, earlier: Any) -> float:
        """Wait for it. Return the seconds between another event of the same stream and this one, by the GPU's clock."""
        ...


M = TypeVar("M", bound=Memory)


class GpuStream(Protocol[M]):
    """A stream of one GPU. `close` waits for it and frees all that was made here."""

    device: str  # cuda:N

    @property
    def handle(self) -> int:
        """The `cudaStream_t`, for libraries that enqueue on it."""
        ...

    def current(self) -> AbstractContextManager[None]:
        """Make its GPU the current one of this thread, within a block; every other method is called in one."""
        ...

    def memory(self, shape: tuple[int, ...], dtype: DTypeLike) -> M:
        """Allocate memory of the GPU."""
        ...

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> HostMemory:
        """Allocate pinned memory of the host."""
        ...

    def put(self, target: M, source: HostMemory) -> None:
        """Enqueue a copy to the GPU."""
        ...

    def fetch(self, target: HostMemory, source: M) -> None:
        """Enqueue a copy to the host."""
        ...

    def event(self) -> Event:
        """Make an event of this stream."""
        ...

    def capture(self, work: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """Capture what `work` enqueues. Return what enqueues it again, by the same addresses, and what `work` returned.

        Work that was never run must not be captured: what a library does once would be in the graph.
        """
        ...

    def synchronize(self) -> None:
        """Wait until the stream has done all that it was asked to."""
        ...

    def close(self) -> None:
        """Wait, and free what was made here."""
        ...


def open_stream(device: str) -> GpuStream[Any]:
    """Open a stream of a GPU `cuda:N`. Raise `NotAvailable` where neither package can."""
    if problem := devices.memory_problem(device):
        raise NotAvailable(f"the memory of {device} cannot be used here: {problem}", "pip install cuda-python")
    if devices.torch_has_cuda():
        opened: GpuStream[Any] = importlib.import_module(f"{__package__}.gpu_torch").TorchStream(device)
        return opened
    from resnas_deploy.runners.gpu_cuda import CudaStream

    return CudaStream(device)
