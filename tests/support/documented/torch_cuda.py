"""`torch.cuda` on a machine without one, for PyTorch's CPU build: streams, events and captured graphs over CPU tensors.

After PyTorch's notes "CUDA semantics" (docs.pytorch.org/docs/stable/notes/cuda.html: streams, "CUDA Graphs") and the
docstrings of `torch.cuda.Stream`, `Event.elapsed_time`, `CUDAGraph` and `torch.cuda.graph`. A graph is the operations
that were done while it was captured, on the very tensors of then; nothing of a capture computes before it is replayed,
which the double shows by spoiling what it made.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Stream:
    """A stream, which does at once what it is asked to."""

    def __init__(self, device: Any = None, *, default: bool = False) -> None:
        self.device, self.default = device, default
        self.cuda_stream = 0 if default else id(self)
        self.waited_for: list[Stream] = []

    def wait_stream(self, other: Stream) -> None:
        """Wait for all that another stream was asked to so far."""
        self.waited_for.append(other)

    def synchronize(self) -> None:
        """Wait for all. A capture forbids it."""
        if Graph.capturing:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")


class Event:
    """A moment. Without `enable_timing` it has no time."""

    def __init__(self, *, enable_timing: bool = False) -> None:
        self._timed, self._at, self._waited = enable_timing, None, False

    def record(self, stream: Stream | None = None) -> None:
        """Be the moment when the stream has done all so far."""
        self._at, self._waited = time.perf_counter(), False

    def synchronize(self) -> None:
        """Wait for it."""
        self._waited = True

    def elapsed_time(self, end: Event) -> float:
        """Return milliseconds to `end`, which must have been waited for; both must have been recorded, with times."""
        if self._at is None or end._at is None or not (self._timed and end._timed):
            raise ValueError("Both events must be recorded with timing enabled before calculating elapsed time.")
        if not end._waited:
            raise RuntimeError("CUDA error: device not ready")
        return 1e3 * (end._at - self._at)


class Graph(TorchDispatchMode):
    """A `CUDAGraph`. While it is captured, it is the mode that sees every operation."""

    capturing: Graph | None = None

    def __init__(self) -> None:
        super().__init__()
        self._done: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        keywords = keywords or {}
        made = function(*arguments, **keywords)
        self._done.append((function, arguments, keywords, made))
        return made

    def replay(self) -> None:
        """Do all again, on the same tensors."""
        assert current.stream.cuda_stream, "a graph must be replayed on the stream of its runner"
        self.replays += 1
        for function, arguments, keywords, made in self._done:
            again = function(*arguments, **keywords)
            for old, new in zip(tree_leaves(made), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old is not new and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class _Current:
    """The current stream; the default one before any other is."""

    stream = Stream(default=True)


current = _Current()


class Cuda:
    """`torch.cuda`, with what was made of it."""

    Event = Event

    def __init__(self) -> None:
        self.graphs: list[Graph] = []
        self.streams: list[Stream] = []

    def Stream(self, device: Any) -> Stream:  # noqa: N802  as it is called
        """Make a stream."""
        self.streams.append(Stream(device))
        return self.streams[-1]

    def current_stream(self, _device: Any = None) -> Stream:
        """Return the current stream."""
        return current.stream

    @contextmanager
    def stream(self, stream: Stream) -> Any:
        """Make a stream and its device the current ones."""
        before, current.stream = current.stream, stream
        try:
            yield
        finally:
            current.stream = before

    def CUDAGraph(self) -> Graph:  # noqa: N802  as it is called
        """Make a graph."""
        self.graphs.append(Graph())
        return self.graphs[-1]

    @contextmanager
    def graph(self, graph: Graph, *, stream: Stream) -> Any:
        """Capture on a stream, which must not be the default one."""
        assert not stream.default
        with self.stream(stream), graph:
            Graph.capturing = graph
            try:
                yield
            finally:
                Graph.capturing = None
        for _, _, _, made in graph._done:
            for tensor in tree_leaves(made):
                if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and not tensor._is_view():
                    tensor.fill_(float("nan"))


class Torch:
    """The module `torch` with that `cuda`: every device is the CPU, and pinned memory is memory."""

    def __init__(self) -> None:
        self.cuda = Cuda()
        self.pinned = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def device(self, _name: str) -> torch.device:
        """Return the CPU."""
        return torch.device("cpu")

    def empty(self, *shape: Any, pin_memory: bool = False, **rest: Any) -> torch.Tensor:
        """Allocate; that it was pinned is counted."""
        self.pinned += pin_memory
        return torch.empty(*shape, **rest)


def torch_with_cuda(monkeypatch: Any, *gpus: str) -> Torch:
    """Let the PyTorch runners find these GPUs and that module."""
    double = Torch()
    monkeypatch.setattr("resnas_deploy.runners.devices.gpus", lambda: gpus)
    for module in ("torch", "gpu_torch"):
        monkeypatch.setattr(f"resnas_deploy.runners.{module}.torch", double)
    monkeypatch.setattr("resnas_deploy.runners.torch.exact_on", lambda *_, **__: nullcontext())
    return double
