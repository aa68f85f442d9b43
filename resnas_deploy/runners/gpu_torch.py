"""A GPU's memory, streams, events and graphs by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class TorchMemory:
    """A contiguous tensor, on the GPU or in pinned memory of the host."""

    tensor: Tensor

    @property
    def address(self) -> int:
        """Where it begins."""
        return self.tensor.data_ptr()

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> Any:
        """The array's type, NumPy's."""
        return torch.empty(0, dtype=self.tensor.dtype).numpy().dtype

    @property
    def array(self) -> NDArray[Any]:
        """What pinned memory holds."""
        found: NDArray[Any] = self.tensor.numpy()
        return found


class TorchStream:
    """A stream of PyTorch's, which is the current one where its work is enqueued."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._place = torch.device(device)
        self._stream = torch.cuda.Stream(self._place)  # type: ignore[no-untyped-call]  # torch's own lack
        self._stream.wait_stream(torch.cuda.current_stream(self._place))  # which may still copy weights

    @property
    def handle(self) -> int:
        """The `cudaStream_t`."""
        return int(self._stream.cuda_stream)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the stream and its GPU the current ones of this thread, and record no gradients."""
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            yield

    def memory(self, shape: tuple[int, ...], dtype: DTypeLike) -> TorchMemory:
        """Allocate memory of the GPU."""
        with torch.inference_mode(False):  # a tensor like any other, which every compiler takes
            return TorchMemory(torch.empty(shape, dtype=_torch(dtype), device=self._place))

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> TorchMemory:
        """Allocate pinned memory of the host."""
        with torch.inference_mode(False):
            return TorchMemory(torch.empty(shape, dtype=_torch(dtype), pin_memory=True))

    def put(self, target: TorchMemory, source: Any) -> None:
        """Enqueue a copy to the GPU."""
        target.tensor.copy_(source.tensor, non_blocking=True)

    def fetch(self, target: Any, source: TorchMemory) -> None:
        """Enqueue a copy to the host."""
        target.tensor.copy_(source.tensor, non_blocking=True)

    def event(self) -> TorchEvent:
        """Make an event of this stream."""
        return TorchEvent(self._stream)

    def capture(self, work: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """Capture what `work` enqueues, with memory of its own for what it allocates."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            made = work()
        return graph.replay, made

    def synchronize(self) -> None:
        """Wait for all."""
        self._stream.synchronize()

    def close(self) -> None:
        """Wait for all. PyTorch frees each tensor with the last who has it."""
        self._stream.synchronize()


class TorchEvent:
    """An event with a time."""

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream = stream
        self._event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's own lack

    def record(self) -> None:
        """Be the moment when the stream has done all so far."""
        self._event.record(self._stream)

    def seconds_since(self, earlier: TorchEvent) -> float:
        """Wait for it. Return the seconds since another one."""
        self._event.synchronize()
        return float(earlier._event.elapsed_time(self._event)) / 1e3


def _torch(dtype: DTypeLike) -> torch.dtype:
    return torch.from_numpy(np.empty(0, dtype)).dtype
