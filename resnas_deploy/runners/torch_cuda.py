"""Captured CUDA graphs and the time on the device, for the PyTorch runners."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UPS = 3  # runs on a side stream before a capture, as PyTorch's notes on CUDA graphs have them


class CapturedGraph:
    """A forward pass of one batch size, captured once: called, it copies the images in and replays."""

    def __init__(self, forward: Callable[[Tensor], Tensor], images: Tensor) -> None:
        stream = torch.cuda.Stream(images.device)  # type: ignore[no-untyped-call]  # torch's own lack
        with torch.inference_mode():
            self._images = images.clone()
            stream.wait_stream(torch.cuda.current_stream(images.device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    forward(self._images)
            torch.cuda.current_stream(images.device).wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=stream):
                self._logits = forward(self._images)

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits `(B, classes)` of images `(B, 3, S, S)` on any device; the next call writes over them."""
        self.load(images)
        self.replay()
        return self._logits

    def load(self, images: Tensor) -> None:
        """Copy images to where the graph reads them."""
        with torch.inference_mode():
            self._images.copy_(images)

    def replay(self) -> None:
        """Run on the images that are there."""
        self._graph.replay()


def timed_on_device(work: Callable[[], object], device: torch.device) -> Callable[[], float]:
    """Return a function that runs `work` once on a stream of its own: seconds between the events around it."""
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own lack
    stream.wait_stream(torch.cuda.current_stream(device))
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]  # torch's own lack

    def once() -> float:
        with torch.inference_mode(), torch.cuda.stream(stream):
            before.record(stream)
            work()
            after.record(stream)
        after.synchronize()
        return float(before.elapsed_time(after)) / 1e3

    return once
