"""`cuda.bindings.runtime` on the host's memory, as the docstrings of cuda-bindings 13.5 say, and NVIDIA's "CUDA Runtime
API" (docs.nvidia.com/cuda/cuda-runtime-api) from which they come: memory, streams, events and captured graphs.

Strict where they leave behaviour undefined. Streams are asynchronous: nothing runs before somebody waits, so that what
was not waited for is not there. Memory of a GPU is not cleared, and nobody may use what was freed.
"""

# ruff: noqa: N801, N802, N815  everything is called as it is there

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np

_NAN = 0xFF  # every byte of new memory: floats are no number


class cudaError_t(IntEnum):
    """The codes that this double returns, with their real numbers."""

    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInvalidDevice = 101
    cudaErrorInvalidResourceHandle = 400
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


_WORDS = {
    cudaError_t.cudaSuccess: b"no error",
    cudaError_t.cudaErrorInvalidValue: b"invalid argument",
    cudaError_t.cudaErrorMemoryAllocation: b"out of memory",
    cudaError_t.cudaErrorInvalidDevice: b"invalid device ordinal",
    cudaError_t.cudaErrorInvalidResourceHandle: b"invalid resource handle",
    cudaError_t.cudaErrorIllegalAddress: b"an illegal memory access was encountered",
    cudaError_t.cudaErrorStreamCaptureUnsupported: b"operation not permitted when stream is capturing",
    cudaError_t.cudaErrorStreamCaptureInvalidated: b"operation failed due to a previous error during capture",
}


class cudaMemcpyKind(IntEnum):
    """The directions that runners copy in."""

    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(IntEnum):
    """What else a thread may do while it captures."""

    cudaStreamCaptureModeGlobal = 0


class Failed(Exception):
    """A call that returns an error."""


class Handle:
    """What a pointer of the runtime is wrapped in: an `int` is made of it where a library wants the address."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __int__(self) -> int:
        return self._number


class Graph(Handle):
    """A captured or an instantiated graph: what it does, and what must not be in another one at the same time."""

    def __init__(self, number: int, nodes: list[Any], holds: set[object]) -> None:
        super().__init__(number)
        self.nodes, self.holds = nodes, holds


class Stream(Handle):
    """What waits to be run; a graph in its place while it is captured."""

    def __init__(self, number: int, device: int) -> None:
        super().__init__(number)
        self.device = device
        self.waiting: list[Callable[[], None]] = []
        self.capturing: Graph | None = None
        self.invalidated = False


class CudaRuntime:
    """The module. It has so many GPUs, each with `memory` bytes."""

    cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode = cudaError_t, cudaMemcpyKind, cudaStreamCaptureMode
    cudaStreamNonBlocking = 1

    def __init__(self, gpus: int = 1, memory: int = 2**34) -> None:
        self._gpus, self._memory = gpus, memory
        self._thread = threading.local()
        self._buffers: dict[int, tuple[Any, int | None]] = {}  # by address: the bytes, and their GPU or None
        self.streams: dict[int, Stream] = {}
        self.graphs: dict[int, Graph] = {}  # that are instantiated
        self._events: dict[int, Any] = {}
        self._number = 0x7000
        self.freed: list[int] = []

    def __getattr__(self, name: str) -> Any:
        """Return a call that answers as the bindings do: a tuple of the error and what was made."""
        if name.startswith("_") or not hasattr(type(self), f"_{name}"):
            raise AttributeError(f"module 'cuda.bindings.runtime' has no attribute {name!r}")

        def call(*arguments: Any) -> tuple[Any, ...]:
            try:
                made = getattr(self, f"_{name}")(*arguments)
            except Failed as error:
                return error.args[0], None
            return (cudaError_t.cudaSuccess,) if made is None else (cudaError_t.cudaSuccess, made)

        return call

    @property
    def device(self) -> int:
        """The current GPU of this thread; 0 in a new one."""
        return int(getattr(self._thread, "device", 0))

    def left(self) -> int:
        """Return how many pieces of memory, streams, events and graphs nobody has freed."""
        return len(self._buffers) + len(self.streams) + len(self.graphs) + len(self._events)

    def enqueue(self, handle: int, work: Callable[[], None], holds: object = None) -> bool:
        """Launch a kernel on a stream, or put it into the graph that is captured there. Return whether that went well.

        A stream takes kernels from the threads whose current GPU is its own. `holds` is what the kernel may not share
        with a kernel of another graph.
        """
        stream = self.streams[handle]
        if stream.device != self.device:
            return False
        if stream.capturing is None:
            stream.waiting.append(work)
        else:
            stream.capturing.nodes.append(work)
            stream.capturing.holds.add(holds)
        return True

    def view(self, address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array over memory of a GPU, for a kernel that runs. Raise where there is none, or not so much."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        found = self._inside(address, size)
        if found is None or self._buffers[found][1] is None:
            raise Failed(cudaError_t.cudaErrorIllegalAddress)
        return np.ndarray(shape, dtype, (ctypes.c_char * size).from_address(address))

    def _inside(self, address: int, size: int) -> int | None:
        """Return the address of the buffer that holds these bytes."""
        for start, (buffer, _) in self._buffers.items():
            if start <= address and address + size <= start + len(buffer):
                return start
        return None

    def _next(self) -> int:
        self._number += 16
        return self._number

    def _cudaGetErrorString(self, error: cudaError_t) -> bytes:
        return _WORDS[error]

    def _cudaGetDevice(self) -> int:
        return self.device

    def _cudaSetDevice(self, device: int) -> None:
        if not 0 <= device < self._gpus:
            raise Failed(cudaError_t.cudaErrorInvalidDevice)
        self._thread.device = device

    def _cudaMalloc(self, size: int) -> int:
        self._not_while_capturing()
        used = sum(len(buffer) for buffer, gpu in self._buffers.values() if gpu == self.device)
        if used + size > self._memory:
            raise Failed(cudaError_t.cudaErrorMemoryAllocation)
        return self._allocate(size, self.device)

    def _cudaMallocHost(self, size: int) -> int:
        self._not_while_capturing()
        return self._allocate(size, None)

    def _allocate(self, size: int, gpu: int | None) -> int:
        whole = (ctypes.c_char * (size + 256))()
        ctypes.memset(whole, _NAN, size + 256)
        buffer = (ctypes.c_char * size).from_buffer(whole, -ctypes.addressof(whole) % 256)
        address = ctypes.addressof(buffer)
        self._buffers[address] = buffer, gpu
        return address

    def _cudaFree(self, address: int) -> None:
        self._free(address, on_gpu=True)

    def _cudaFreeHost(self, address: int) -> None:
        self._free(address, on_gpu=False)

    def _free(self, address: int, *, on_gpu: bool) -> None:
        if address not in self._buffers or (self._buffers[address][1] is not None) != on_gpu:
            raise Failed(cudaError_t.cudaErrorInvalidValue)
        del self._buffers[address]
        self.freed.append(address)

    def _cudaMemcpyAsync(self, target: int, source: int, size: int, kind: cudaMemcpyKind, stream: Stream) -> None:
        from_host = kind == cudaMemcpyKind.cudaMemcpyHostToDevice
        for address, host in ((source, from_host), (target, not from_host)):
            found = self._inside(address, size)
            if found is None or (self._buffers[found][1] is None) != host:
                raise Failed(cudaError_t.cudaErrorInvalidValue)

        def copy() -> None:
            if self._inside(target, size) is None or self._inside(source, size) is None:
                raise Failed(cudaError_t.cudaErrorIllegalAddress)
            ctypes.memmove(target, source, size)

        (stream.waiting if stream.capturing is None else stream.capturing.nodes).append(copy)

    def _cudaStreamCreateWithFlags(self, flags: int) -> Stream:
        assert flags == self.cudaStreamNonBlocking
        stream = Stream(self._next(), self.device)
        self.streams[int(stream)] = stream
        return stream

    def _cudaStreamDestroy(self, stream: Stream) -> None:
        self._run(self.streams.pop(int(stream)))

    def _cudaStreamSynchronize(self, stream: Stream) -> None:
        if stream.capturing is not None:
            stream.invalidated = True
            raise Failed(cudaError_t.cudaErrorStreamCaptureUnsupported)
        self._run(self.streams[int(stream)])

    def _run(self, stream: Stream) -> None:
        while stream.waiting:
            stream.waiting.pop(0)()

    def _cudaEventCreate(self) -> Handle:
        event = Handle(self._next())
        self._events[int(event)] = None
        return event

    def _cudaEventDestroy(self, event: Handle) -> None:
        del self._events[int(event)]

    def _cudaEventRecord(self, event: Handle, stream: Stream) -> None:
        self._events[int(event)] = stream

        def happens() -> None:
            self._events[int(event)] = time.perf_counter()

        stream.waiting.append(happens)

    def _cudaEventSynchronize(self, event: Handle) -> None:
        stream = self._events[int(event)]
        if isinstance(stream, Stream):
            self._run(stream)

    def _cudaEventElapsedTime(self, start: Handle, end: Handle) -> float:
        before, after = self._events[int(start)], self._events[int(end)]
        if not (isinstance(before, float) and isinstance(after, float)):
            raise Failed(cudaError_t.cudaErrorInvalidResourceHandle)
        return 1e3 * (after - before)

    def _cudaStreamBeginCapture(self, stream: Stream, mode: cudaStreamCaptureMode) -> None:
        assert mode == cudaStreamCaptureMode.cudaStreamCaptureModeGlobal
        if stream.capturing is not None:
            raise Failed(cudaError_t.cudaErrorStreamCaptureUnsupported)
        stream.capturing, stream.invalidated = Graph(self._next(), [], set()), False

    def _cudaStreamEndCapture(self, stream: Stream) -> Graph:
        graph, stream.capturing = stream.capturing, None
        if graph is None:
            raise Failed(cudaError_t.cudaErrorInvalidValue)
        if stream.invalidated:
            raise Failed(cudaError_t.cudaErrorStreamCaptureInvalidated)
        return graph

    def _not_while_capturing(self) -> None:
        """Refuse an allocation while a stream is captured in the global mode, and spoil the capture."""
        for stream in self.streams.values():
            if stream.capturing is not None:
                stream.invalidated = True
                raise Failed(cudaError_t.cudaErrorStreamCaptureUnsupported)

    def _cudaGraphInstantiate(self, graph: Graph, flags: int) -> Graph:
        assert flags == 0
        for other in self.graphs.values():
            assert not (other.holds & graph.holds - {None}), "two graphs would use one context or its memory"
        ready = Graph(self._next(), list(graph.nodes), graph.holds)
        self.graphs[int(ready)] = ready
        return ready

    def _cudaGraphDestroy(self, graph: Graph) -> None:
        graph.nodes = []

    def _cudaGraphExecDestroy(self, graph: Graph) -> None:
        del self.graphs[int(graph)]

    def _cudaGraphLaunch(self, graph: Graph, stream: Stream) -> None:
        if int(graph) not in self.graphs or stream.device != self.device:
            raise Failed(cudaError_t.cudaErrorInvalidResourceHandle)
        stream.waiting += graph.nodes
