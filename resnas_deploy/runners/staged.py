"""Batches on a GPU through pinned memory of the host, in buffers that are made once for each batch size.

What is inside the time from host to host: the caller's array is copied into pinned memory, from there to the GPU, the
network runs, and its logits are copied back into pinned memory. The time on the device is of the network alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from resnas_deploy.runners.gpu import GpuStream, M

PINNED = "pinned host memory and the copy into it"
WARM_UPS = 3  # runs before a capture, as PyTorch's notes on CUDA graphs have them; TensorRT's documentation wants one

Work = Callable[[], M]  # enqueues the network once and returns where its logits `(B, classes)` will be
Prepare = Callable[[M], Work[M]]  # makes ready for images `(B, ..)` that lie there, of one batch size


def staged_boundary(way: str, captured: bool, excluded: str) -> str:
    """Return what lies inside the time of a `step`, and what `excluded_from` it."""
    graph = ", captured CUDA graph" if captured else ""
    return f"host to host, CUDA, {PINNED}{graph}, {way}, {excluded}"


def device_boundary(way: str, captured: bool) -> str:
    """Return what lies inside the time of a `device_step`."""
    graph = ", captured CUDA graph" if captured else ""
    return f"device only, {way}, CUDA events, one stream{graph}"


class Staged(Generic[M]):
    """The batches of one network on one stream."""

    def __init__(self, stream: GpuStream[M], prepare: Prepare[M], *, captured: bool) -> None:
        self._stream, self._prepare, self._captured = stream, prepare, captured
        self._batches: dict[tuple[tuple[int, ...], str], StagedBatch[M]] = {}

    def run(self, images: NDArray[Any]) -> NDArray[Any]:
        """Run a batch. Return logits `(B, classes)` of their own memory."""
        return self._batch(images)(images).copy()

    def step(self, images: NDArray[Any]) -> Callable[[], NDArray[Any]]:
        """Return what runs this batch once, from host to host; the next run of that size writes over its logits."""
        batch = self._batch(images)
        return lambda: batch(images)

    def device_step(self, images: NDArray[Any]) -> Callable[[], float]:
        """Return what runs this batch once where it lies, in seconds."""
        batch = self._batch(images)
        return lambda: batch.seconds(images)

    def close(self, before_freeing: Callable[[], None] = lambda: None) -> None:
        """Wait for the stream, forget the batches, and free all; `before_freeing` closes what is on the stream."""
        with self._stream.current():
            self._stream.synchronize()
            self._batches.clear()
            before_freeing()
        self._stream.close()

    def _batch(self, images: NDArray[Any]) -> StagedBatch[M]:
        key = images.shape, images.dtype.str
        if key not in self._batches:
            self._batches[key] = StagedBatch(self._stream, images, self._prepare, captured=self._captured)
        return self._batches[key]


class StagedBatch(Generic[M]):
    """One batch size: pinned memory, memory of the GPU, and the network, launched or captured, between them."""

    def __init__(self, stream: GpuStream[M], images: NDArray[Any], prepare: Prepare[M], *, captured: bool) -> None:
        self._stream = stream
        self._inside: NDArray[Any] | None = None  # the images that are on the GPU, where it is known
        with stream.current():
            self._host = stream.pinned(images.shape, images.dtype)
            self._images = stream.memory(images.shape, images.dtype)
            self._load(images)
            work = prepare(self._images)
            for _ in range(WARM_UPS if captured else 1):
                logits = work()
            stream.synchronize()
            if captured:
                replay, logits = stream.capture(work)
                self._work = _replayed(replay, logits)
            else:
                self._work = work
            self._logits = stream.pinned(logits.shape, logits.dtype)
            self._before, self._after = stream.event(), stream.event()

    def __call__(self, images: NDArray[Any]) -> NDArray[Any]:
        """Copy the images in, run, copy the logits out, and wait. The next call writes over them."""
        with self._stream.current():
            self._load(images)
            self._stream.fetch(self._logits, self._work())
            self._stream.synchronize()
        return self._logits.array

    def seconds(self, images: NDArray[Any]) -> float:
        """Run once on images that are on the GPU by then. Return the seconds that the GPU's clock tells."""
        with self._stream.current():
            if self._inside is not images:
                self._load(images)
                self._stream.synchronize()
                self._inside = images
            self._before.record()
            self._work()
            self._after.record()
            return self._after.seconds_since(self._before)

    def _load(self, images: NDArray[Any]) -> None:
        self._inside = None
        np.copyto(self._host.array, images)
        self._stream.put(self._images, self._host)


def _replayed(replay: Callable[[], object], logits: M) -> Work[M]:
    def work() -> M:
        replay()
        return logits

    return work
