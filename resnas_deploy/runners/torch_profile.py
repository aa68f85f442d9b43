"""How long each module of a PyTorch network takes, what its own modules take left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

ROOT = "network"  # the name of what no module inside takes


def module_seconds(
    network: nn.Module, forward: Callable[[], object], runs: int, device: torch.device
) -> Mapping[str, float]:
    """Measure seconds of one run, mean of `runs`, by module, without what the modules that it calls take."""
    clock = _GpuClock() if device.type == "cuda" else _HostClock()
    spans = list[tuple[str, str, Any, Any]]()  # module, the one that called it, when it began and ended
    calls = list[tuple[str, Any]]()  # that are under way

    def begin(name: str) -> Callable[..., None]:
        return lambda *_: calls.append((name, clock.now()))

    def end(*_: object) -> None:
        name, began = calls.pop()
        spans.append((name, calls[-1][0] if calls else "", began, clock.now()))

    forward()
    hooks = []
    for name, module in network.named_modules():
        hooks += [module.register_forward_pre_hook(begin(name or ROOT)), module.register_forward_hook(end)]
    try:
        for _ in range(runs):
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    total = dict[str, float]()
    for name, caller, began, ended in spans:
        seconds = clock.seconds(began, ended) / runs
        total[name] = total.get(name, 0.0) + seconds
        if caller:
            total[caller] = total.get(caller, 0.0) - seconds
    return total


class _HostClock:
    def now(self) -> Any:
        return time.perf_counter()

    def seconds(self, began: Any, ended: Any) -> float:
        return float(ended - began)


class _GpuClock(_HostClock):
    """The clock of the current stream: events in it."""

    def now(self) -> Any:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch's own lack
        event.record()
        return event

    def seconds(self, began: Any, ended: Any) -> float:
        ended.synchronize()
        return float(began.elapsed_time(ended)) / 1e3
