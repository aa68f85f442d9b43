"""The step that times the residual reduction alone: the equation by eager PyTorch, that compiled, and the operator.

The operator is Triton's kernel on a GPU (`network/kernel.py`). There each is captured into a CUDA graph several times
over, since it takes no longer than a launch does, and timed by the device's own clock, interleaved.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from resnas_deploy.arch.elements import ReductionElement, elements
from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.timing import Timed, time_interleaved, timed
from resnas_deploy.network import operator as op
from resnas_deploy.network.fused import fusion_problem
from resnas_deploy.precision import precision_named
from resnas_deploy.processes.guardian import ending_with_us
from resnas_deploy.progress import Progress
from resnas_deploy.runners.devices import compiled_torch_problem
from resnas_deploy.runners.gpu_torch import TorchStream
from resnas_deploy.runners.staged import WARM_UPS
from resnas_deploy.surveying.results import Outcome, ReductionTimes
from resnas_deploy.surveying.task import Task
from resnas_deploy.weights.arch_files import read_arch

_EAGER, _COMPILED, _KERNEL = "eager", "compiled", "kernel"
_SEED = 0
_CAPTURED = 20  # runs in one graph
Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def run(task: Task, progress: Progress) -> Outcome:
    """Time every reduction of a network at every batch size. Raise `NotAvailable` where there is no kernel."""
    device = torch.device(task.device)
    if device.type == "cuda" and (problem := fusion_problem(device)):
        raise NotAvailable(f"the reduction's kernel cannot run here: {problem}")
    op.register()
    precision = task.text("precision")
    found = []
    for element in elements(read_arch(task.text("network"))):
        if isinstance(element, ReductionElement):
            shape = op.ReductionShape(element.side, element.width, element.out_width)
            for batch in task.sizes.kernel_batches:
                progress(f"a reduction of {shape.width} to {shape.out_width} channels, batch {batch}")
                found.append(_one(shape, batch, precision, device, task.sizes.kernel_runs))
    return Outcome(reductions=tuple(found))


def _one(shape: op.ReductionShape, batch: int, precision: str, device: torch.device, runs: int) -> ReductionTimes:
    kind = precision_named(precision)
    inputs = _inputs(shape, batch, device)
    wanted = op.equation(*inputs, shape.side, True)
    narrow: Inputs = tuple(item.to(kind.torch) for item in inputs)  # type: ignore[assignment]  # four of them
    operator: Callable[..., list[Tensor]] = torch.ops.resnas.pooled_residual
    ways: dict[str, Callable[..., list[Tensor]]] = {_EAGER: op.equation, _KERNEL: operator}
    if compiled_torch_problem(str(device)) is None:
        torch.compiler.reset()  # else each shape counts against the limit of what one function is compiled for
        ways[_COMPILED] = torch.compile(op.equation, fullgraph=True, dynamic=False)
    steps: dict[str, Timed] = {}
    with torch.inference_mode(), ending_with_us():
        for name, way in ways.items():
            steps[name] = _step(lambda way=way: way(*narrow, shape.side, True), device)  # type: ignore[misc]  # mypy infers no lambda with a default
            steps[name]()
        rounds = time_interleaved(steps, runs, np.random.default_rng(_SEED))
        errors = [
            float((own.float() - right).abs().max() / right.abs().max())
            for own, right in zip(operator(*narrow, shape.side, True), wanted, strict=True)
        ]
    medians = {name: float(np.median(samples)) for name, samples in rounds.samples.items()}
    return ReductionTimes(
        side=shape.side,
        width=shape.width,
        out_width=shape.out_width,
        batch=batch,
        precision=precision,
        kernel="Triton's kernel" if device.type == "cuda" else "the equation (the kernel is for GPUs)",
        eager_s=medians[_EAGER],
        compiled_s=medians.get(_COMPILED),
        kernel_s=medians[_KERNEL],
        error=max(errors),
        tolerance=kind.tolerance,
    )


def _step(work: Callable[[], object], device: torch.device) -> Timed:
    """Return what runs it once and returns its seconds: on a GPU the mean of those in one captured graph."""
    if device.type != "cuda":
        return timed(work)
    stream = TorchStream(str(device))

    def repeated(times: int) -> None:
        for _ in range(times):
            work()

    with stream.current():
        repeated(WARM_UPS)
        stream.synchronize()
        replay, _ = stream.capture(lambda: repeated(_CAPTURED))
    before, after = stream.event(), stream.event()

    def once() -> float:
        with stream.current():
            before.record()
            replay()
            after.record()
        return after.seconds_since(before) / _CAPTURED

    return once


def _inputs(shape: op.ReductionShape, batch: int, device: torch.device) -> Inputs:
    """Return seeded tokens, class token, patches and table, float32, as `operator.equation` takes them."""
    rng = torch.Generator().manual_seed(_SEED)

    def drawn(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=rng).to(device)

    return (
        drawn(batch, shape.tokens, shape.width),
        drawn(batch, 1, shape.out_width),
        drawn(batch, shape.out_tokens - 1, shape.out_width),
        drawn(shape.out_tokens, shape.out_width),
    )
