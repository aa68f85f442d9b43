"""A GPU's memory, streams, events and graphs by `cuda-python`: the CUDA runtime itself, one call a function.

Its calls return an error code and what they made (nvidia.github.io/cuda-python, cuda.bindings.runtime).
"""

from __future__ import annotations

import ctypes
import importlib
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from resnas_deploy.errors import BadInput
from resnas_deploy.runners.devices import CUDA_PYTHON, index

T = TypeVar("T")


@dataclass(frozen=True)
class CudaMemory:
    """Memory of the GPU, until its stream is closed."""

    address: int
    shape: tuple[int, ...]
    dtype: Any


@dataclass(frozen=True)
class CudaHostMemory:
    """Pinned memory of the host, freed with the last array that looks at it."""

    array: NDArray[Any]
    address: int


class CudaStream:
    """A stream of its own, which never waits for the default one."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._cuda = importlib.import_module(CUDA_PYTHON)
        self._number = index(device)
        self._made = ExitStack()
        with self.current():
            self._stream = self._call("cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking)
        self._made.callback(self._call, "cudaStreamDestroy", self._stream)

    @property
    def handle(self) -> int:
        """The `cudaStream_t`."""
        return int(self._stream)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make its GPU the current one of this thread."""
        before = self._call("cudaGetDevice")
        if before == self._number:
            yield
            return
        self._call("cudaSetDevice", self._number)
        try:
            yield
        finally:
            self._call("cudaSetDevice", before)

    def memory(self, shape: tuple[int, ...], dtype: DTypeLike) -> CudaMemory:
        """Allocate memory of the GPU."""
        address = int(self._call("cudaMalloc", _bytes(shape, dtype)))
        self._made.callback(self._call, "cudaFree", address)
        return CudaMemory(address, shape, np.dtype(dtype))

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> CudaHostMemory:
        """Allocate pinned memory of the host."""
        size = _bytes(shape, dtype)
        address = int(self._call("cudaMallocHost", size))
        buffer = (ctypes.c_char * size).from_address(address)
        weakref.finalize(buffer, self._cuda.cudaFreeHost, address)  # an array below keeps the buffer
        array: NDArray[Any] = np.ndarray(shape, dtype, memoryview(buffer))
        return CudaHostMemory(array, address)

    def put(self, target: CudaMemory, source: Any) -> None:
        """Enqueue a copy to the GPU."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", target.address, source.address, source.array.nbytes, kind, self._stream)

    def fetch(self, target: Any, source: CudaMemory) -> None:
        """Enqueue a copy to the host."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target.address, source.address, target.array.nbytes, kind, self._stream)

    def event(self) -> CudaEvent:
        """Make an event of this stream."""
        event = self._call("cudaEventCreate")
        self._made.callback(self._call, "cudaEventDestroy", event)
        return CudaEvent(self._call, event, self._stream)

    def capture(self, work: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """Capture what `work` enqueues. It must allocate nothing: no graph of this package has memory of its own."""
        self.synchronize()
        self._call("cudaStreamBeginCapture", self._stream, self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeGlobal)
        try:
            made = work()
        except BaseException:
            self._cuda.cudaStreamEndCapture(self._stream)  # else the stream could never be used again
            raise
        graph = self._call("cudaStreamEndCapture", self._stream)
        try:
            ready = self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)  # what was instantiated has a copy
        self._made.callback(self._call, "cudaGraphExecDestroy", ready)
        return lambda: self._call("cudaGraphLaunch", ready, self._stream), made

    def synchronize(self) -> None:
        """Wait for all."""
        self._call("cudaStreamSynchronize", self._stream)

    def close(self) -> None:
        """Wait for all, and free what was made, the last first."""
        with self.current():
            try:
                self.synchronize()
            finally:
                self._made.close()

    def _call(self, function: str, *arguments: Any) -> Any:
        """Call a function of the CUDA runtime. Return what it made. Raise `BadInput` with the runtime's own words."""
        error, *made = getattr(self._cuda, function)(*arguments)
        if error != self._cuda.cudaError_t.cudaSuccess:
            _, words = self._cuda.cudaGetErrorString(error)
            raise BadInput(f"{self.device} must do what it is asked to, found that {function} failed: {words.decode()}")
        return made[0] if made else None


class CudaEvent:
    """An event with a time."""

    def __init__(self, call: Callable[..., Any], event: Any, stream: Any) -> None:
        self._call, self._event, self._stream = call, event, stream

    def record(self) -> None:
        """Be the moment when the stream has done all so far."""
        self._call("cudaEventRecord", self._event, self._stream)

    def seconds_since(self, earlier: CudaEvent) -> float:
        """Wait for it. Return the seconds since another one."""
        self._call("cudaEventSynchronize", self._event)
        return float(self._call("cudaEventElapsedTime", earlier._event, self._event)) / 1e3


def _bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    return max(1, math.prod(shape) * np.dtype(dtype).itemsize)
